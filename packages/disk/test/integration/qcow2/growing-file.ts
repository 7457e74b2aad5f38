import { open, type FileHandle } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Qcow2Frontier } from '@disk-image/disk/qcow2'

/** A download that writes a file in steps of its own, whatever is waited for. */
export class GrowingFile implements Qcow2Frontier, AsyncDisposable {
  readonly handle: FileHandle
  ended = false
  #available = 0
  readonly #content: Uint8Array
  readonly #step: () => number
  readonly #waiting = new Set<{ readonly offset: number; readonly resolve: () => void }>()

  private constructor(handle: FileHandle, content: Uint8Array, step: () => number) {
    this.handle = handle
    this.#content = content
    this.#step = step
  }

  /** Makes an empty file, which grows with {@link download}. */
  static async create(file: string, content: Uint8Array, step: () => number): Promise<GrowingFile> {
    return new GrowingFile(await open(file, 'w+'), content, step)
  }

  /** @param pause between two steps */
  async download(pause: () => Promise<unknown> = () => nextTurn()): Promise<void> {
    while (this.#available < this.#content.byteLength) {
      const chunk = this.#content.subarray(this.#available, this.#available + Math.max(1, this.#step()))
      await this.handle.write(chunk, 0, chunk.byteLength, this.#available)
      this.#available += chunk.byteLength
      this.#wake()
      await pause()
    }
    this.ended = true
    this.#wake()
  }

  available(): number {
    return this.#available
  }

  waitFor(offset: number): Promise<void> {
    if (this.ended || this.#available >= offset) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiting.add({ offset, resolve })
    })
  }

  #wake(): void {
    for (const waiting of this.#waiting) {
      if (!this.ended && waiting.offset > this.#available) continue
      this.#waiting.delete(waiting)
      waiting.resolve()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close()
  }
}
