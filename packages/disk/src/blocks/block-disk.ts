import { type CallOptions, type Disk, type DiskReceiver, type Extent, InvalidError } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import { refuse } from '../disk-format-error.ts'
import type { ImageFile } from '../image-file.ts'
import { type BlockMap, type FileRange, holeBlock, zeroBlock } from './block-map.ts'
import { Claims } from './claims.ts'
import { copyExtents } from './copy-extents.ts'

const mostReadBytes = 1024 ** 3
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
  const { sizeBytes: size, blockBytes } = map
  let isClosed = false
  const requireOpen = (): void => {
    signal?.throwIfAborted()
    if (isClosed) throw new InvalidError({ reason: 'The disk is closed.' })
  }

  async function read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    requireOpen()
    for (const place of [offset, length]) {
      if (!Number.isSafeInteger(place) || place < 0) {
        throw new InvalidError({ reason: `${place} is no number of bytes.` })
      }
    }
    const end = Math.min(size, offset + length)
    if (end <= offset) return new Uint8Array(0)
    if (end - offset > mostReadBytes) {
      throw new InvalidError({ reason: `A read of ${length} bytes is more than 1 GiB.` })
    }
    const lent = into !== undefined && into.length >= end - offset
    const bytes = lent ? into.subarray(0, end - offset).fill(0) : allocateBuffer(end - offset)
    let ranges: BlockRange[] = []
    for await (const range of rangesOf(offset, end)) {
      if (ranges.length === readsAtOnce) {
        await readRanges(ranges, bytes, offset)
        ranges = []
      }
      ranges.push(range)
    }
    await readRanges(ranges, bytes, offset)
    requireOpen()
    return bytes
  }

  /** What is stored of a part of the disk; neighbours in the file are one range, unless they are compressed. */
  async function* rangesOf(offset: number, end: number): AsyncGenerator<BlockRange, void, void> {
    let current: BlockRange | undefined
    for (let position = offset; position < end;) {
      const { first, count, places } = await map.load(Math.floor(position / blockBytes))
      const tableEnd = Math.min(end, (first + count) * blockBytes)
      if (places === undefined) position = tableEnd
      while (position < tableEnd) {
        const block = Math.floor(position / blockBytes)
        const stop = Math.min(tableEnd, (block + 1) * blockBytes)
        const place = places?.[block - first] ?? holeBlock
        const from = map.compressed ? place : place + position - block * blockBytes
        if (place >= 0) {
          if (current !== undefined && !map.compressed && follows(current, position, from)) current.end = stop
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

  async function* extents(options: CallOptions = {}): AsyncGenerator<Extent, void, void> {
    const taken = createTakenPlaces(map)
    let start = 0
    let kind: Extent['kind'] = 'hole'
    for (let block = 0; block * blockBytes < size;) {
      requireOpen()
      options.signal?.throwIfAborted()
      const { first, count, places, range } = await map.load(block)
      taken.table(range)
      const end = Math.min(first + count, Math.ceil(size / blockBytes))
      while (block < end) {
        const place = places?.[block - first] ?? holeBlock
        const found = place === holeBlock ? 'hole' : place === zeroBlock ? 'zero' : 'data'
        if (found === 'data') taken.block(place)
        const offset = block * blockBytes
        if (found !== kind && offset > start) {
          yield { offset: start, length: offset - start, kind }
          start = offset
        }
        kind = found
        block = places === undefined ? end : block + 1
      }
    }
    if (size > start) yield { offset: start, length: size - start, kind }
  }

  const close = (): Promise<void> => {
    isClosed = true
    return Promise.resolve()
  }
  return {
    size,
    read,
    extents,
    copyTo: (receiver: DiskReceiver, options?: CallOptions) =>
      copyExtents({ size, read, extents }, receiver, options),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Whether a place continues a range in the disk and in the file. */
function follows(range: BlockRange, position: number, place: number): boolean {
  return range.end === position && range.place + (range.end - range.start) === place
}

/** Which bytes of the file something has. */
interface TakenPlaces {
  table(range: FileRange | undefined): void
  block(place: number): void
}

/** @throws {DiskFormatError} where two blocks or tables have the same bytes: a small file could be endless */
function createTakenPlaces(map: BlockMap): TakenPlaces {
  const claims = new Claims()
  const { placeUnitBytes: unit, placesFrom, blockBytes, format } = map
  const units = Math.ceil(blockBytes / unit)
  const takeRange = ({ offset, length }: FileRange): boolean => {
    const first = Math.max(0, Math.floor((offset - placesFrom) / unit))
    const behind = Math.max(first, Math.ceil((offset + length - placesFrom) / unit))
    return claims.take(first, behind - first)
  }
  const take = (free: boolean, offset: number): void => {
    if (free) return
    refuse(`${format}-block-used-twice`, 'two blocks or tables of the disk lie in the same place', {
      offset,
      accepted: 'each in a place that nothing else has',
    })
  }
  map.reserved.forEach(takeRange)
  return {
    table: (range) => range !== undefined && take(takeRange(range), range.offset),
    block: (place) => {
      // A compressed block says itself whose it is.
      if (!map.compressed) take(claims.take((place - placesFrom) / unit, units), place)
    },
  }
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
