import { defaultBlockBytes, roundUp, sectorBytes, unallocated } from '../format/constants.ts'
import { layOut, type NewDiskMetadata } from '../format/new-disk.ts'
import type { FileTarget } from '../io/file-target.ts'
import { isZero } from '../io/zeroes.ts'
import { createBlockAllocator, type BlockAllocator } from '../merge/allocate.ts'
import { blockBitmap, blockBitmapBytes, fillTables, type DynamicVhdOptions } from './dynamic.ts'

/** Writes a disk's bytes, in order, into a new dynamic VHD. Blocks of zeros are left out. */
export class DynamicWriter {
  readonly #target: FileTarget
  readonly #disk: NewDiskMetadata
  readonly #table: Uint32Array
  readonly #allocator: BlockAllocator
  readonly #buffer: Uint8Array = new Uint8Array(blockBitmapBytes + defaultBlockBytes)
  readonly #sizeBytes: number
  #block = 0
  #dirty = false

  constructor(target: FileTarget, sizeBytes: number, { style = 'xenserver', uniqueId }: DynamicVhdOptions) {
    this.#target = target
    this.#sizeBytes = roundUp(sizeBytes, sectorBytes)
    this.#disk = layOut({ type: 'dynamic', sizeBytes: this.#sizeBytes, style, uniqueId })
    this.#table = new Uint32Array(this.#disk.entries).fill(unallocated)
    this.#allocator = createBlockAllocator(this.#disk.bytes.length, blockBitmapBytes, defaultBlockBytes)
  }

  /** Takes data; offsets only rise. What is left out reads as zero. */
  async data(offset: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const block = Math.floor((offset + at) / defaultBlockBytes)
      if (block !== this.#block) await this.#flush(block)
      const inBlock = offset + at - block * defaultBlockBytes
      const part = bytes.subarray(at, at + defaultBlockBytes - inBlock)
      this.#buffer.set(part, blockBitmapBytes + inBlock)
      this.#dirty = true
      at += part.length
    }
  }

  /** Writes the tables and the footers; the file is whole afterwards. */
  async end(): Promise<void> {
    await this.#flush(0)
    await this.#target.write(this.#disk.footer, this.#allocator.end())
    await this.#target.sync()
    // A file without its start is no disk: it becomes one when all the rest is there.
    await this.#target.write(fillTables(this.#disk, this.#table, this.#sizeBytes), 0)
    await this.#target.sync()
  }

  async #flush(next: number): Promise<void> {
    const data = this.#buffer.subarray(blockBitmapBytes)
    if (this.#dirty && !isZero(data)) {
      const start = this.#allocator.next()
      this.#table[this.#block] = start / sectorBytes
      this.#buffer.set(blockBitmap(this.#block, this.#sizeBytes))
      await this.#target.write(this.#buffer, start)
      data.fill(0)
    }
    this.#dirty = false
    this.#block = next
  }
}
