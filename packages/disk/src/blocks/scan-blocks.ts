import { refuse } from '../disk-format-error.ts'
import { type BlockMap, type FileRange, holeBlock } from './block-map.ts'
import { Claims } from './claims.ts'

/** Neighbouring blocks of the disk, which are neighbours in the file as well. */
export interface PlacedExtent {
  /** Byte of the disk. */
  readonly offset: number
  readonly length: number
  /** Byte of the file, or one of the two marks of a {@link BlockMap}. */
  readonly place: number
}

/**
 * The whole disk in its order.
 *
 * @throws {DiskFormatError} where two blocks or tables have the same bytes: a small file could be endless
 */
export async function* scanBlocks(
  map: BlockMap,
  signal: AbortSignal | undefined,
): AsyncGenerator<PlacedExtent, void, void> {
  const { blockBytes, sizeBytes, isCompressed } = map
  const taken = createTakenPlaces(map)
  let start = 0
  let from = holeBlock
  for (let block = 0; block * blockBytes < sizeBytes;) {
    signal?.throwIfAborted()
    const { first, count, places, range } = await map.load(block)
    taken.table(range)
    const end = Math.min(first + count, Math.ceil(sizeBytes / blockBytes))
    while (block < end) {
      const place = places?.[block - first] ?? holeBlock
      if (place >= 0) taken.block(place)
      const offset = block * blockBytes
      const follows =
        place < 0 ? place === from : !isCompressed && from >= 0 && place === from + offset - start
      if (!follows && offset > start) {
        yield { offset: start, length: offset - start, place: from }
        start = offset
      }
      if (!follows) from = place
      block = places === undefined ? end : block + 1
    }
  }
  if (sizeBytes > start) yield { offset: start, length: sizeBytes - start, place: from }
}

/** Which bytes of the file something has. */
interface TakenPlaces {
  table(range: FileRange | undefined): void
  block(place: number): void
}

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
    if (!free) refuseUsedTwice(format, offset)
  }
  map.reserved.forEach(takeRange)
  return {
    table: (range) => range !== undefined && take(takeRange(range), range.offset),
    block: (place) => {
      // A compressed block says itself whose it is.
      if (!map.isCompressed) take(claims.take((place - placesFrom) / unit, units), place)
    },
  }
}

/** @throws {DiskFormatError} always */
export function refuseUsedTwice(format: string, offset: number): never {
  return refuse(`${format}-block-used-twice`, 'two blocks or tables of the disk lie in the same place', {
    offset,
    accepted: 'each in a place that nothing else has',
  })
}
