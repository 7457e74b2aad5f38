import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { InvalidError } from '@disk-image/core'
import { readFully } from '@disk-image/io'

/** The file of a spool, or a whole image, read at any place from any thread. */
export class SpoolFile implements AsyncDisposable {
  readonly #handle: FileHandle
  readonly #owned: boolean

  private constructor(handle: FileHandle, owned: boolean) {
    this.#handle = handle
    this.#owned = owned
  }

  /** A handle stays open afterwards; a path is opened and closed here. */
  static async open(source: string | FileHandle): Promise<SpoolFile> {
    return typeof source === 'string'
      ? // A pipe would keep a plain open waiting for ever.
        new SpoolFile(await open(source, constants.O_RDONLY | constants.O_NONBLOCK), true)
      : new SpoolFile(source, false)
  }

  get descriptor(): number {
    return this.#handle.fd
  }

  /** @throws {InvalidError} where it is no regular file, whose size could be something else */
  async sizeBytes(): Promise<number> {
    const stat = await this.#handle.stat()
    if (!stat.isFile()) {
      throw new InvalidError({ reason: 'An image that is no regular file has no size.' })
    }
    return stat.size
  }

  /** Fills memory with bytes that were all written before. */
  async readFully(bytes: Uint8Array, offset: number): Promise<void> {
    const read = await readFully(this.#handle, bytes, offset)
    if (read < bytes.byteLength) throw new Error('the image file is shorter than was said')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#owned) await this.#handle.close()
  }
}
