import type { CallOptions, Disk } from '@disk-image/core'
import { checksum, markSectors, roundUp, sectorBytes, unallocated, viewOf } from '@disk-image/disk/vhd'
import { isZero } from '@disk-image/io'
import type { FileTarget } from '../files/vhd-file.ts'
import {
  type BlockAllocator,
  createBlockAllocator,
  defaultBlockBytes,
  layOut,
  type NewDiskMetadata,
  type VhdStyle,
} from '../format/new-disk.ts'
import type { ByteStream } from './streams.ts'

/** Options of {@link streamDynamicVhd}. */
export interface DynamicVhdOptions extends CallOptions {
  /** @default 'xenserver' */
  readonly style?: VhdStyle | undefined
  /** @default a random one */
  readonly uniqueId?: string | undefined
}

/** Bytes of a block's bitmap. */
const blockBitmapBytes: number = defaultBlockBytes / sectorBytes / 8

/**
 * A disk as a dynamic VHD. Where its blocks are is found out first, by reading it once; the bytes are read
 * when they are sent. Blocks of zeros are left out.
 */
export async function streamDynamicVhd(source: Disk, options: DynamicVhdOptions = {}): Promise<ByteStream> {
  const sizeBytes = roundUp(source.size, sectorBytes)
  const disk = layOut({
    type: 'dynamic',
    sizeBytes,
    style: options.style ?? 'xenserver',
    uniqueId: options.uniqueId,
  })
  const used = await usedBlocks(source, options.signal)
  const allocator = createBlockAllocator(disk.bytes.length, blockBitmapBytes, defaultBlockBytes)
  const table = new Uint32Array(disk.entries).fill(unallocated)
  for (const block of used) table[block] = allocator.next() / sectorBytes
  const metadata = fillTables(disk, table, sizeBytes)
  return {
    sizeBytes: allocator.end() + disk.footer.length,
    async *[Symbol.asyncIterator]() {
      yield metadata
      let position = metadata.length
      for (const [done, block] of used.entries()) {
        options.signal?.throwIfAborted()
        const start = (table[block] as number) * sectorBytes
        const bytes = new Uint8Array(start - position + blockBitmapBytes + defaultBlockBytes)
        bytes.set(blockBitmap(block, sizeBytes), start - position)
        bytes.set(
          await source.read(block * defaultBlockBytes, defaultBlockBytes),
          start - position + blockBitmapBytes,
        )
        yield bytes
        position += bytes.length
        const total = used.length * defaultBlockBytes
        options.onProgress?.({
          stage: 'convert',
          completed: (done + 1) * defaultBlockBytes,
          total,
          unit: 'bytes',
        })
      }
      yield disk.footer
    },
  }
}

async function usedBlocks(source: Disk, signal: AbortSignal | undefined): Promise<number[]> {
  const used: number[] = []
  const data = (offset: number, bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length;) {
      const block = Math.floor((offset + at) / defaultBlockBytes)
      const end = Math.min(bytes.length, (block + 1) * defaultBlockBytes - offset)
      if (used[used.length - 1] !== block && !isZero(bytes.subarray(at, end))) used.push(block)
      at = end
    }
  }
  await source.copyTo({ data, zero: () => undefined }, { signal })
  return used
}

/** The bitmap of a block that is written whole; behind the end of the disk there are no sectors. */
function blockBitmap(block: number, sizeBytes: number): Uint8Array {
  const bitmap = new Uint8Array(blockBitmapBytes)
  markSectors(bitmap, 0, Math.min(defaultBlockBytes, sizeBytes - block * defaultBlockBytes))
  return bitmap
}

/** A new disk's metadata with its table filled, and its batmap: but for the last, our blocks are full. */
function fillTables(
  { bytes, tableOffset, batmapOffset }: NewDiskMetadata,
  table: Uint32Array,
  sizeBytes: number,
): Uint8Array {
  const filled = Uint8Array.from(bytes)
  const view = viewOf(filled)
  for (const [index, entry] of table.entries()) view.setUint32(tableOffset + index * 4, entry)
  if (batmapOffset === undefined) return filled
  const map = filled.subarray(batmapOffset + sectorBytes)
  for (const [index, entry] of table.entries()) {
    const isFull = (index + 1) * defaultBlockBytes <= sizeBytes
    if (entry !== unallocated && isFull) map[index >> 3] = (map[index >> 3] as number) | (0x80 >> (index & 7))
  }
  view.setUint32(batmapOffset + 24, checksum(map))
  return filled
}

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
