import type { Qcow2Target } from '@disk-image/qemu-img/qcow2'

/** A disk in memory that refuses what a decoder may not do: write twice, or behind the end. */
export class MemoryTarget implements Qcow2Target {
  readonly bytes: Buffer
  readonly #written: Uint8Array
  writtenBytes = 0

  constructor(sizeBytes: number) {
    this.bytes = Buffer.alloc(sizeBytes)
    this.#written = new Uint8Array(Math.ceil(sizeBytes / 512))
  }

  async write(chunk: Uint8Array, offset: number): Promise<void> {
    if (offset % 512 !== 0 || chunk.byteLength === 0 || offset + chunk.byteLength > this.bytes.byteLength) {
      throw new Error(`${chunk.byteLength} bytes were written at ${offset}, which is not on the disk`)
    }
    for (let sector = offset / 512; sector * 512 < offset + chunk.byteLength; sector += 1) {
      if (this.#written[sector] !== 0) throw new Error(`sector ${sector} was written twice`)
      this.#written[sector] = 1
    }
    this.writtenBytes += chunk.byteLength
    // The chunk is lent until now: a decoder that reuses it too early is found out.
    await Promise.resolve()
    this.bytes.set(chunk, offset)
  }
}
