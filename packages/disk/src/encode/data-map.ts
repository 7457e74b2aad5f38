import type { CallOptions, Disk } from '@disk-image/core'

const unitsPerPage = 65_536
const allUnits = 0xffffffff
/** A disk with more units is mapped in coarser ones: the map takes 32 MiB at most. */
const mostBits = 2 ** 28

/** Neighbouring units of a disk. */
export interface UnitRun {
  readonly first: number
  readonly count: number
}

/**
 * Which equal units of a disk (clusters, grains, blocks) hold data: a bit each, in pages that are made where there is
 * some. A unit counts where any of its bytes lies in an extent of data.
 */
export class DataMap {
  /** Units of the disk; the last one may be cut by its end. */
  readonly units: number
  /** Units that hold data. */
  count = 0
  readonly #unitBytes: number
  /** Units that share a bit. */
  readonly #perBit: number
  readonly #pages: (Uint32Array | undefined)[] = []
  /** Units with data before each page. */
  readonly #ranks: Float64Array

  private constructor(sizeBytes: number, unitBytes: number) {
    this.#unitBytes = unitBytes
    this.units = Math.ceil(sizeBytes / unitBytes)
    let perBit = 1
    while (this.units > mostBits * perBit) perBit *= 2
    this.#perBit = perBit
    this.#ranks = new Float64Array(Math.ceil(this.units / perBit / unitsPerPage) + 1)
  }

  /** Reads a disk's extents; of a raw one that is all of it, but for the holes that are known. */
  static async read(
    disk: Pick<Disk, 'size' | 'extents'>,
    unitBytes: number,
    { signal, onProgress }: CallOptions = {},
  ): Promise<DataMap> {
    const map = new DataMap(disk.size, unitBytes)
    for await (const { offset, length, kind } of disk.extents({ signal })) {
      signal?.throwIfAborted()
      if (kind === 'data') map.#mark(offset, offset + length)
      onProgress?.({ stage: 'inspect', completed: offset + length, total: disk.size, unit: 'bytes' })
    }
    map.#countAll()
    return map
  }

  has(unit: number): boolean {
    return this.#hasBit(Math.floor(unit / this.#perBit))
  }

  /** Units with data before this one. */
  rank(unit: number): number {
    const bit = Math.floor(unit / this.#perBit)
    const page = Math.floor(bit / unitsPerPage)
    const inPage = countBits(this.#pages[page], bit % unitsPerPage) * this.#perBit
    const inBit = this.#hasBit(bit) ? unit % this.#perBit : 0
    return (this.#ranks[page] ?? this.count) + inPage + inBit
  }

  /** Runs of units with data, in order, as long as they are. @param end the unit behind the last one */
  *runs(start: number = 0, end: number = this.units): Generator<UnitRun, void, void> {
    for (let unit = this.#next(start, end, true); unit < end;) {
      const behind = this.#next(unit, end, false)
      yield { first: unit, count: behind - unit }
      unit = this.#next(behind, end, true)
    }
  }

  #hasBit(bit: number): boolean {
    const word = this.#pages[Math.floor(bit / unitsPerPage)]?.[(bit % unitsPerPage) >>> 5] ?? 0
    return ((word >>> (bit & 31)) & 1) === 1
  }

  /** The first unit from one on that has data, or has none; `end` where there is no such. */
  #next(start: number, end: number, hasData: boolean): number {
    const last = Math.ceil(end / this.#perBit)
    let bit = Math.floor(start / this.#perBit)
    while (bit < last) {
      const page = this.#pages[Math.floor(bit / unitsPerPage)]
      if (page === undefined && hasData) {
        bit = (Math.floor(bit / unitsPerPage) + 1) * unitsPerPage
        continue
      }
      const word = page?.[(bit % unitsPerPage) >>> 5] ?? 0
      const wanted = (hasData ? word : ~word) >>> (bit & 31)
      if (wanted !== 0) {
        bit += 31 - Math.clz32(wanted & -wanted)
        break
      }
      bit += 32 - (bit & 31)
    }
    return Math.min(end, Math.max(start, bit * this.#perBit))
  }

  #mark(start: number, end: number): void {
    const bytesPerBit = this.#unitBytes * this.#perBit
    const behind = Math.ceil(end / bytesPerBit)
    for (let bit = Math.floor(start / bytesPerBit); bit < behind;) {
      const index = Math.floor(bit / unitsPerPage)
      const page = (this.#pages[index] ??= new Uint32Array(unitsPerPage / 32))
      const from = bit % unitsPerPage
      const to = Math.min(unitsPerPage, from + behind - bit)
      for (let at = from; at < to;) {
        const stop = Math.min(to, (at | 31) + 1)
        const mask = stop - at === 32 ? allUnits : ((1 << (stop - at)) - 1) << (at & 31)
        page[at >>> 5] = ((page[at >>> 5] ?? 0) | mask) >>> 0
        at = stop
      }
      bit += to - from
    }
  }

  #countAll(): void {
    let count = 0
    for (let index = 0; index < this.#ranks.length; index += 1) {
      this.#ranks[index] = count
      count += countBits(this.#pages[index], unitsPerPage) * this.#perBit
    }
    // The last bit may stand for units behind the end.
    const cut = Math.ceil(this.units / this.#perBit) * this.#perBit - this.units
    this.count = this.units > 0 && this.has(this.units - 1) ? count - cut : count
  }
}

function countBits(page: Uint32Array | undefined, bits: number): number {
  if (page === undefined) return 0
  let count = 0
  for (let at = 0; at < bits; at += 32) {
    const rest = bits - at
    const word = (page[at >>> 5] ?? 0) & (rest < 32 ? (1 << rest) - 1 : allUnits)
    const pairs = word - ((word >>> 1) & 0x55555555)
    const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333)
    count += Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
  }
  return count
}
