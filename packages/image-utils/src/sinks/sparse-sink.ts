import { MiB, type OverlappedSink, type Target } from '@disk-image/core'
import { type RateLimiter, writeSparsely } from '@disk-image/io'

/**
 * Writes onto a target, leaving out what is zero: a hole in a file, safe zeros on a device. With `sparse` false every
 * byte is written. A stream is written from its start; a disk in any order.
 */
export class SparseSink implements OverlappedSink {
  readonly #target: Pick<Target, 'write' | 'zero'>
  readonly #sparse: boolean
  readonly #rateLimiter: RateLimiter | undefined
  #offset = 0
  #written = 0

  constructor(
    target: Pick<Target, 'write' | 'zero'>,
    options: { readonly sparse: boolean; readonly rateLimiter?: RateLimiter | undefined },
  ) {
    this.#target = target
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
      const dataBytes = await writeSparsely(this.#target, chunk, start)
      this.#written += dataBytes
    } else {
      await this.#target.write(chunk, start)
      this.#written += chunk.length
    }
  }

  /** The range reads as zeros afterwards. */
  async zeroAt(start: number, length: number): Promise<void> {
    const end = start + length
    this.#offset = end
    if (this.#sparse) return this.#target.zero(start, length)
    const zeros = new Uint8Array(Math.min(length, MiB))
    for (let offset = start; offset < end; offset += zeros.length) {
      await this.writeAt(zeros.subarray(0, Math.min(zeros.length, end - offset)), offset)
    }
  }
}
