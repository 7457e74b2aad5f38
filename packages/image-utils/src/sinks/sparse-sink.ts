import { MiB, type OverlappedSink } from '@disk-image/core'
import { type Volume, writeSparsely } from '@disk-image/host'
import type { RateLimiter } from '@disk-image/io'

/**
 * Writes a stream onto a volume from its start, leaving out what is zero: a hole in a file, safe zeroes on a
 * device. With `sparse` false every byte is written.
 */
export class SparseSink implements OverlappedSink {
  readonly #volume: Volume
  readonly #sparse: boolean
  readonly #rateLimiter: RateLimiter | undefined
  #offset = 0
  #written = 0

  constructor(
    volume: Volume,
    options: { readonly sparse: boolean; readonly rateLimiter?: RateLimiter | undefined },
  ) {
    this.#volume = volume
    this.#rateLimiter = options.rateLimiter
    this.#sparse = options.sparse
  }

  /** Where what was taken so far ends. */
  get offset(): number {
    return this.#offset
  }

  /** Bytes really written so far. */
  get written(): number {
    return this.#written
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.writeAt(chunk, this.#offset)
  }

  async writeAt(chunk: Uint8Array, start: number): Promise<void> {
    // Before anything is waited for: the next write may begin meanwhile.
    this.#offset = start + chunk.length
    await this.#rateLimiter?.take(chunk.length)
    if (this.#sparse) {
      // Not `+= await`: others are written meanwhile.
      const dataBytes = await writeSparsely(this.#volume, chunk, start)
      this.#written += dataBytes
    } else {
      await this.#volume.write(chunk, start)
      this.#written += chunk.length
    }
  }

  /** Takes so many zeroes, without looking at any. */
  async skip(length: number): Promise<void> {
    if (this.#sparse) {
      const start = this.#offset
      this.#offset += length
      await this.#volume.zero(start, length)
      return
    }
    const zeroes = new Uint8Array(Math.min(length, MiB))
    for (let done = 0; done < length; done += zeroes.length) {
      await this.write(zeroes.subarray(0, Math.min(zeroes.length, length - done)))
    }
  }
}
