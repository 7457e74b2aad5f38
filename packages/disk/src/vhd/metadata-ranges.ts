import { viewOf } from '../layouts/fields.ts'
import { latin1, roundUp, sectorBytes } from './footer.ts'
import { headerBytes, maximumLocatorBytes } from './header.ts'
import { batmapBytes } from './read-layout.ts'
import type { DynamicHead } from './vhd-head.ts'

/** What of a stream has to wait at most: all up to the end of its table, the metadata behind it, and its last sector. */
export function mostSpooledBytes({ header }: DynamicHead): number {
  const { tableOffset, maximumEntries, locators } = header
  const others = headerBytes + locators.length * maximumLocatorBytes + batmapBytes(maximumEntries)
  return tableOffset + maximumEntries * 4 + others + 2 * sectorBytes
}

/** The metadata behind the table, as far as anybody reads it. */
export class MetadataRanges {
  readonly #start: number
  readonly #ranges: (readonly [start: number, end: number])[]
  readonly #batmapHeader = new Uint8Array(sectorBytes)
  readonly #batmapOffset: number
  readonly #mapBytes: number

  /**
   * @param start of what is looked at: before it, everything is spooled
   * @param hasSpare whether the end of the table counts, which no block of the disk needs
   */
  constructor({ header, headerOffset }: DynamicHead, start: number, hasSpare: boolean) {
    const { tableOffset, maximumEntries, locators } = header
    this.#start = start
    this.#batmapOffset = roundUp(tableOffset + Math.max(1, maximumEntries) * 4, sectorBytes)
    this.#ranges = locators
      .filter(({ lengthBytes }) => lengthBytes <= maximumLocatorBytes)
      .map(({ offset, lengthBytes }) => [offset, offset + lengthBytes] as const)
    if (hasSpare) this.#ranges.push([start, tableOffset + maximumEntries * 4])
    this.#ranges.push([headerOffset, headerOffset + headerBytes])
    this.#ranges.push([this.#batmapOffset, this.#batmapOffset + sectorBytes])
    this.#mapBytes = batmapBytes(maximumEntries)
  }

  /** What of a chunk is metadata, in order, each byte once. */
  take(chunk: Uint8Array, offset: number): (readonly [start: number, end: number])[] {
    this.#lookForMap(chunk, offset)
    const end = offset + chunk.length
    const found = this.#ranges
      .map(([from, to]) => [Math.max(from, offset, this.#start), Math.min(to, end)] as const)
      .filter(([from, to]) => from < to)
      .toSorted(([one], [other]) => one - other)
    let taken = offset
    return found.flatMap(([from, to]) => {
      const rest = [Math.max(from, taken), to] as const
      taken = Math.max(taken, to)
      return rest[0] < to ? [rest] : []
    })
  }

  /** The map is where the header of the batmap says, which comes before it. */
  #lookForMap(chunk: Uint8Array, offset: number): void {
    const end = this.#batmapOffset + sectorBytes
    if (offset >= end || offset + chunk.length <= this.#batmapOffset) return
    const part = chunk.subarray(Math.max(0, this.#batmapOffset - offset), end - offset)
    this.#batmapHeader.set(part, Math.max(0, offset - this.#batmapOffset))
    if (offset + chunk.length < end || latin1(this.#batmapHeader, 0, 8) !== 'tdbatmap') return
    const mapOffset = Number(viewOf(this.#batmapHeader).getBigUint64(8))
    if (mapOffset >= end) this.#ranges.push([mapOffset, mapOffset + this.#mapBytes])
  }
}
