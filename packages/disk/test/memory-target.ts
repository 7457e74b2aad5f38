import type { Qcow2Target } from '@disk-image/disk/qcow2'

/** A disk in memory that refuses what a decoder may not do: write twice, or behind the end. */
export class MemoryTarget implements Qcow2Target {
  readonly bytes: Buffer
  readonly #unitBytes: number
  readonly #written: Uint8Array
  writtenBytes = 0

  /** @param unitBytes what is written only whole: a sector, or a byte where it comes as a stream */
  constructor(sizeBytes: number, unitBytes: 1 | 512 = 512) {
    this.bytes = Buffer.alloc(sizeBytes)
    this.#unitBytes = unitBytes
    this.#written = new Uint8Array(Math.ceil(sizeBytes / unitBytes))
  }

  async write(chunk: Uint8Array, offset: number): Promise<void> {
    const unit = this.#unitBytes
    const end = offset + chunk.byteLength
    if (offset % unit !== 0 || chunk.byteLength === 0 || end > this.bytes.byteLength) {
      throw new Error(`${chunk.byteLength} bytes were written at ${offset}, which is not on the disk`)
    }
    const units = this.#written.subarray(offset / unit, Math.ceil(end / unit))
    if (units.includes(1)) throw new Error(`bytes between ${offset} and ${end} were written twice`)
    units.fill(1)
    this.writtenBytes += chunk.byteLength
    // The chunk is lent until now: a decoder that reuses it too early is found out.
    await Promise.resolve()
    this.bytes.set(chunk, offset)
  }
}
