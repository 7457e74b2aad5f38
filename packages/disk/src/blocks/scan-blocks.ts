import { refuse } from '../errors.ts'
import { type BlockMap, type FileRange, holeBlock } from './block-map.ts'

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

const pageUnits = 2 ** 18
const mostPages = 2048

/**
 * Which units of a file are taken. A page of 32 KiB is made for each 2^18 units where one is taken, at most 64 MiB
 * in all: with units of 512 bytes that is 256 GiB of stored data, and what lies behind is not compared.
 */
class Claims {
  readonly #pages = new Map<number, Uint8Array>()

  /** Takes units; false where one of them was taken before. */
  take(first: number, count: number): boolean {
    let free = true
    for (let unit = first; unit < first + count;) {
      const page = Math.floor(unit / pageUnits)
      const end = Math.min(first + count, (page + 1) * pageUnits)
      const bits = this.#page(page)
      if (bits !== undefined && !takeBits(bits, unit - page * pageUnits, end - page * pageUnits)) free = false
      unit = end
    }
    return free
  }

  #page(page: number): Uint8Array | undefined {
    const known = this.#pages.get(page)
    if (known !== undefined || this.#pages.size >= mostPages) return known
    const made = new Uint8Array(pageUnits / 8)
    this.#pages.set(page, made)
    return made
  }
}

function takeBits(bits: Uint8Array, from: number, to: number): boolean {
  let free = true
  for (let bit = from; bit < to;) {
    const byte = bit >> 3
    const whole = (bit & 7) === 0 && bit + 8 <= to
    const mask = whole ? 0xff : 1 << (bit & 7)
    if (((bits[byte] as number) & mask) !== 0) free = false
    bits[byte] = (bits[byte] as number) | mask
    bit += whole ? 8 : 1
  }
  return free
}
