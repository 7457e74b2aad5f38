import type { CallOptions, Disk, Extent } from '@disk-image/core'
import type { ImageFile } from '../image-file.ts'
import { type BlockMap, holeBlock, zeroBlock } from './block-map.ts'
import { createDisk, type DiskSource } from './create-disk.ts'
import { scanBlocks } from './scan-blocks.ts'

/** Parts of the file that one read has under way. */
const readsAtOnce = 16

/** A part of the disk, and where its bytes are. */
export class BlockRange {
  readonly start: number
  end: number
  /** Byte of the file for `start`; of a compressed block, of its record. */
  readonly place: number

  constructor(start: number, end: number, place: number) {
    this.start = start
    this.end = end
    this.place = place
  }
}

/** Reads stored ranges, in order, into memory that begins at byte `base` of the disk. */
export type ReadRanges = (ranges: readonly BlockRange[], bytes: Uint8Array, base: number) => Promise<void>

/**
 * The disk of a {@link BlockMap}.
 *
 * @param signal ends every read, until the disk is closed
 * @param readRanges how compressed blocks are read; each range is one block or a part of it
 */
export function createBlockDisk(
  file: ImageFile,
  map: BlockMap,
  signal: AbortSignal | undefined,
  readRanges: ReadRanges = (ranges, bytes, base) => readStored(file, ranges, bytes, base),
): Disk {
  const fill: DiskSource['fill'] = async (bytes, offset, isZero) => {
    if (!isZero) bytes.fill(0)
    let ranges: BlockRange[] = []
    for await (const range of rangesOf(map, offset, offset + bytes.length)) {
      if (ranges.length === readsAtOnce) {
        await readRanges(ranges, bytes, offset)
        ranges = []
      }
      ranges.push(range)
    }
    await readRanges(ranges, bytes, offset)
  }
  return createDisk({ size: map.sizeBytes, fill, extents: (options) => extentsOf(map, options) }, signal)
}

/** What is stored of a part of the disk; neighbours in the file are one range, unless they are compressed. */
async function* rangesOf(map: BlockMap, offset: number, end: number): AsyncGenerator<BlockRange, void, void> {
  const { blockBytes, isCompressed } = map
  let current: BlockRange | undefined
  for (let position = offset; position < end;) {
    const { first, count, places } = await map.load(Math.floor(position / blockBytes))
    const tableEnd = Math.min(end, (first + count) * blockBytes)
    if (places === undefined) position = tableEnd
    while (position < tableEnd) {
      const block = Math.floor(position / blockBytes)
      const stop = Math.min(tableEnd, (block + 1) * blockBytes)
      const place = places?.[block - first] ?? holeBlock
      const from = isCompressed ? place : place + position - block * blockBytes
      if (place >= 0) {
        if (current !== undefined && !isCompressed && follows(current, position, from)) current.end = stop
        else {
          if (current !== undefined) yield current
          current = new BlockRange(position, stop, from)
        }
      }
      position = stop
    }
  }
  if (current !== undefined) yield current
}

async function* extentsOf(map: BlockMap, { signal }: CallOptions): AsyncGenerator<Extent, void, void> {
  for await (const { offset, length, place } of scanBlocks(map, signal)) {
    yield { offset, length, kind: place === holeBlock ? 'hole' : place === zeroBlock ? 'zero' : 'data' }
  }
}

/** Whether a place continues a range in the disk and in the file. */
function follows(range: BlockRange, position: number, place: number): boolean {
  return range.end === position && range.place + (range.end - range.start) === place
}

/** Behind the end of the file the last block reads as zero, as in qemu. */
async function readStored(
  file: ImageFile,
  ranges: readonly BlockRange[],
  bytes: Uint8Array,
  base: number,
): Promise<void> {
  await Promise.all(
    ranges.map(({ start, end, place }) => {
      const stored = Math.min(end - start, Math.max(0, file.sizeBytes - place))
      return file.fill(place, bytes.subarray(start - base, start - base + stored))
    }),
  )
}
