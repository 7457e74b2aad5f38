import type { CallOptions } from '@disk-image/core'
import { markSectors } from '../chain/bitmap.ts'
import { checksum, fields } from '../format/checksum.ts'
import { defaultBlockBytes, roundUp, sectorBytes, unallocated } from '../format/constants.ts'
import { layOut, type NewDiskMetadata, type VhdStyle } from '../format/new-disk.ts'
import { createBlockAllocator } from '../merge/allocate.ts'
import type { VhdChain } from '../operations/open-vhd-chain.ts'
import type { ByteStream } from './byte-stream.ts'

/** Options of {@link streamDynamicVhd}. */
export interface DynamicVhdOptions extends CallOptions {
  /** @default 'xenserver' */
  readonly style?: VhdStyle | undefined
  /** @default a random one */
  readonly uniqueId?: string | undefined
}

/** Bytes of a block's bitmap. */
export const blockBitmapBytes: number = defaultBlockBytes / sectorBytes / 8

/**
 * A chain as a dynamic VHD. Where its blocks are is found out first, by reading it once; the bytes are read
 * when they are sent. Blocks of zeros are left out.
 */
export async function streamDynamicVhd(
  chain: VhdChain,
  options: DynamicVhdOptions = {},
): Promise<ByteStream> {
  const sizeBytes = roundUp(chain.size, sectorBytes)
  const disk = layOut({
    type: 'dynamic',
    sizeBytes,
    style: options.style ?? 'xenserver',
    uniqueId: options.uniqueId,
  })
  const used = await usedBlocks(chain, options.signal)
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
          await chain.read(block * defaultBlockBytes, defaultBlockBytes),
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

async function usedBlocks(chain: VhdChain, signal: AbortSignal | undefined): Promise<number[]> {
  const used: number[] = []
  const mark = (offset: number, length: number): void => {
    const last = Math.floor((offset + length - 1) / defaultBlockBytes)
    for (let block = Math.floor(offset / defaultBlockBytes); block <= last; block += 1) {
      if (used[used.length - 1] !== block) used.push(block)
    }
  }
  await chain.copyTo(
    { data: (offset, { length }) => mark(offset, length), zero: () => undefined },
    { signal },
  )
  return used
}

/** The bitmap of a block that is written whole; behind the end of the disk there are no sectors. */
export function blockBitmap(block: number, sizeBytes: number): Uint8Array {
  const bitmap = new Uint8Array(blockBitmapBytes)
  markSectors(bitmap, 0, Math.min(defaultBlockBytes, sizeBytes - block * defaultBlockBytes))
  return bitmap
}

/** A new disk's metadata with its table filled, and its batmap: but for the last, our blocks are full. */
export function fillTables(
  { bytes, tableOffset, batmapOffset }: NewDiskMetadata,
  table: Uint32Array,
  sizeBytes: number,
): Uint8Array {
  const filled = Uint8Array.from(bytes)
  const view = fields(filled)
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
