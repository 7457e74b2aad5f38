import type { InflateRaw } from 'node:zlib'

const chunkBytes = 256 * 1024

/** Receives unpacked bytes; the next ones wait for it. */
export type UnpackedReceiver = (bytes: Uint8Array) => Promise<void>

/** Unpacks the deflate data of one member, and finds its end to the byte. */
export class GzipBody {
  readonly #inflate: InflateRaw = process
    .getBuiltinModule('node:zlib')
    .createInflateRaw({ chunkSize: chunkBytes })
  #wake: () => void = () => undefined
  #failure: { readonly error: unknown } | undefined
  /** Of what was unpacked. */
  crc = 0
  unpackedBytes = 0

  constructor() {
    const inflate = this.#inflate
    inflate.on('readable', () => this.#wake())
    inflate.on('close', () => this.#wake())
    inflate.on('error', (error: unknown) => {
      this.#failure = { error }
      this.#wake()
    })
  }

  /**
   * Unpacks a chunk.
   *
   * @returns how much of it belongs to the member where that ends before it, else undefined
   */
  async write(chunk: Uint8Array, receive: UnpackedReceiver): Promise<number | undefined> {
    const before = this.#inflate.bytesWritten
    let taken = false
    this.#inflate.write(chunk, () => {
      taken = true
      this.#wake()
    })
    await this.#drain(receive, () => taken)
    const used = this.#inflate.bytesWritten - before
    return used < chunk.length ? used : undefined
  }

  destroy(): void {
    this.#inflate.destroy()
  }

  async #drain(receive: UnpackedReceiver, isOver: () => boolean): Promise<void> {
    const { crc32 } = process.getBuiltinModule('node:zlib')
    while (true) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      const bytes = this.#inflate.read() as Uint8Array | null
      if (bytes !== null) {
        this.crc = crc32(bytes, this.crc)
        this.unpackedBytes += bytes.length
        await receive(bytes)
        continue
      }
      if (this.#failure !== undefined) throw this.#failure.error
      if (isOver()) return
      if (this.#inflate.destroyed) throw new Error('the decoder was given up')
      await promise
    }
  }
}
