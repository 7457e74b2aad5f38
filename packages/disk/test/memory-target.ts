import type { Target } from '@disk-image/core'

/** A disk in memory that refuses what a decoder may not do: write twice, or behind the end. */
export class MemoryTarget implements Pick<Target, 'write' | 'zero'> {
  readonly bytes: Buffer
  readonly #unitBytes: number
  readonly #written: Uint8Array
  writtenBytes = 0

  /**
   * @param unitBytes what is written only whole: a sector, or a byte where it comes as a stream
   * @param content what is there before
   */
  constructor(sizeBytes: number, unitBytes: 1 | 512 = 512, content: number = 0) {
    this.bytes = Buffer.alloc(sizeBytes, content)
    this.#unitBytes = unitBytes
    this.#written = new Uint8Array(Math.ceil(sizeBytes / unitBytes))
  }

  /** Whether every byte was written or zeroed. */
  get isComplete(): boolean {
    return !this.#written.includes(0)
  }

  async zero(offset: number, length: number): Promise<void> {
    this.#take(offset, length)
    await Promise.resolve()
    this.bytes.fill(0, offset, offset + length)
  }

  async write(chunk: Uint8Array, offset: number): Promise<void> {
    this.#take(offset, chunk.byteLength)
    this.writtenBytes += chunk.byteLength
    // The chunk is lent until now: a decoder that reuses it too early is found out.
    await Promise.resolve()
    this.bytes.set(chunk, offset)
  }

  #take(offset: number, length: number): void {
    const unit = this.#unitBytes
    const end = offset + length
    if (offset % unit !== 0 || length <= 0 || end > this.bytes.byteLength) {
      throw new Error(`${length} bytes were written at ${offset}, which is not on the disk`)
    }
    const units = this.#written.subarray(offset / unit, Math.ceil(end / unit))
    if (units.includes(1)) throw new Error(`bytes between ${offset} and ${end} were written twice`)
    units.fill(1)
  }
}
