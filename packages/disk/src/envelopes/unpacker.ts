import type { InflateRaw, ZstdDecompress } from 'node:zlib'

/** Receives unpacked bytes; the next ones wait for it. */
export type UnpackedReceiver = (bytes: Uint8Array) => Promise<void>

/** Drives a decompressor of Node.js, and finds to the byte where its data end. */
export class Unpacker {
  readonly #stream: InflateRaw | ZstdDecompress
  #wake: () => void = () => undefined
  #failure: { readonly error: unknown } | undefined

  constructor(stream: InflateRaw | ZstdDecompress) {
    this.#stream = stream
    stream.on('readable', () => this.#wake())
    stream.on('close', () => this.#wake())
    stream.on('end', () => this.#wake())
    stream.on('error', (error: unknown) => {
      this.#failure = { error }
      this.#wake()
    })
  }

  /**
   * Unpacks a chunk.
   *
   * @returns how much of it belongs to the data where those end before it, else undefined
   */
  async write(chunk: Uint8Array, receive: UnpackedReceiver): Promise<number | undefined> {
    const before = this.#stream.bytesWritten
    let taken = false
    this.#stream.write(chunk, () => {
      taken = true
      this.#wake()
    })
    await this.#drain(receive, () => taken)
    const used = this.#stream.bytesWritten - before
    return used < chunk.length ? used : undefined
  }

  /** Says that nothing follows: what is missing shows now. */
  async end(receive: UnpackedReceiver): Promise<void> {
    let ended = false
    this.#stream.once('end', () => (ended = true))
    this.#stream.end()
    await this.#drain(receive, () => ended)
  }

  destroy(): void {
    this.#stream.destroy()
  }

  async #drain(receive: UnpackedReceiver, isOver: () => boolean): Promise<void> {
    while (true) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      const bytes = this.#stream.read() as Uint8Array | null
      if (bytes !== null) {
        await receive(bytes)
        continue
      }
      if (this.#failure !== undefined) throw this.#failure.error
      if (isOver()) return
      if (this.#stream.destroyed) throw new Error('the decoder was given up')
      await promise
    }
  }
}
