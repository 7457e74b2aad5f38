import { type ByteSink, MiB } from '@disk-image/core'
import { type Volume, writeSparsely } from '@disk-image/host'
import { sinkConcurrency } from './intake-sink.ts'
import type { RateLimiter } from '@disk-image/io'

/**
 * Writes a stream onto a volume from its start, leaving out what is zero: a hole in a file, safe zeroes on a
 * device. With `sparse` false every byte is written.
 */
export class SparseSink implements ByteSink {
  readonly #volume: Volume
  readonly #sparse: boolean
  readonly #rateLimiter: RateLimiter | undefined
  readonly concurrency: number = sinkConcurrency
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

  /** Bytes taken so far. */
  get offset(): number {
    return this.#offset
  }

  /** Bytes really written so far. */
  get written(): number {
    return this.#written
  }

  async write(chunk: Uint8Array): Promise<void> {
    // Before anything is waited for: the next write may begin meanwhile.
    const start = this.#offset
    this.#offset += chunk.length
    await this.#rateLimiter?.take(chunk.length)
    if (this.#sparse) {
      this.#written += await writeSparsely(this.#volume, chunk, start)
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
