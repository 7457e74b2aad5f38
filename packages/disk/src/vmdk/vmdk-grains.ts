import type { BlockRange, ReadRanges } from '../blocks/block-disk.ts'
import { refuse } from '../errors.ts'
import { createInflater, type Inflater } from '../stream/inflater.ts'
import type { ImageFile } from '../image-file.ts'
import type { VmdkLayout } from './vmdk-layout.ts'

/** Sector of the disk and length, then the compressed bytes. */
const markerBytes = 12

/** Reads compressed grains: neighbours in the file with one read. */
export function createGrainReader(file: ImageFile, layout: VmdkLayout): ReadRanges {
  const grains = new GrainReader(file, layout)
  return (ranges, bytes, base) => grains.read(ranges, bytes, base)
}

class GrainReader {
  readonly #file: ImageFile
  readonly #grainBytes: number
  readonly #sizeBytes: number
  /** Room behind the grain, so that one call also sees the end of the stream. */
  readonly #output: Uint8Array
  #inflater: Inflater | undefined
  /** A grain that can't be compressed takes a little more than itself; more than twice is no grain. */
  readonly #usualBytes: number
  readonly #mostBytes: number

  constructor(file: ImageFile, { grainBytes, sizeBytes }: VmdkLayout) {
    this.#file = file
    this.#grainBytes = grainBytes
    this.#sizeBytes = sizeBytes
    this.#output = new Uint8Array(grainBytes + 64)
    this.#usualBytes = markerBytes + grainBytes + Math.ceil(grainBytes / 64) + 64
    this.#mostBytes = 2 * grainBytes
  }

  async read(ranges: readonly BlockRange[], bytes: Uint8Array, base: number): Promise<void> {
    let group: BlockRange[] = []
    for (const range of ranges) {
      const last = group.at(-1)
      const isNear =
        last !== undefined && range.place > last.place && range.place - last.place <= this.#usualBytes + 512
      if (!isNear && group.length > 0) {
        await this.#readGroup(group, bytes, base)
        group = []
      }
      group.push(range)
    }
    if (group.length > 0) await this.#readGroup(group, bytes, base)
  }

  async #readGroup(group: readonly BlockRange[], bytes: Uint8Array, base: number): Promise<void> {
    const from = (group[0] as BlockRange).place
    const end = Math.min(this.#file.sizeBytes, (group.at(-1) as BlockRange).place + this.#usualBytes)
    const view = await this.#file.read(from, end - from, 'a grain')
    const record = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    for (const { start, end: stop, place } of group) {
      const grain = Math.floor(start / this.#grainBytes) * this.#grainBytes
      const data = await this.#dataOf(record.subarray(place - from), grain, place)
      this.#inflateInto(bytes.subarray(start - base, stop - base), start - grain, data, grain, place)
    }
  }

  /** The compressed bytes of a record. */
  async #dataOf(record: Uint8Array, grain: number, place: number): Promise<Uint8Array> {
    if (record.length < markerBytes) {
      refuse('vmdk-truncated', 'a grain is cut off by the end of the file', { offset: place })
    }
    const view = new DataView(record.buffer, record.byteOffset, record.byteLength)
    const sector = view.getBigUint64(0, true)
    const length = view.getUint32(8, true)
    if (sector !== BigInt(grain / 512) || length === 0 || length > this.#mostBytes) {
      refuse('vmdk-grain-marker', 'the marker of a grain is not what its table says', {
        found: `sector ${sector}, ${length} bytes`,
        offset: place,
        accepted: `sector ${grain / 512}, at most ${this.#mostBytes} bytes`,
      })
    }
    if (markerBytes + length <= record.length) return record.subarray(markerBytes, markerBytes + length)
    const rest = await this.#file.read(place + markerBytes, length, 'a grain')
    return new Uint8Array(rest.buffer, rest.byteOffset, rest.byteLength)
  }

  /** Without a wait between: the next grain is inflated into the same memory. */
  #inflateInto(target: Uint8Array, from: number, data: Uint8Array, grain: number, place: number): void {
    this.#inflater ??= createInflater('zlib')
    const result = this.#inflater(data, this.#output)
    const produced = typeof result === 'string' ? 0 : result.producedBytes
    const wanted = Math.min(this.#grainBytes, this.#sizeBytes - grain)
    if (produced < wanted || produced > this.#grainBytes) {
      refuse('vmdk-grain-data', 'a compressed grain is damaged', {
        found: typeof result === 'string' ? result : `${produced} bytes`,
        offset: place,
        accepted: `${wanted} bytes`,
      })
    }
    target.set(this.#output.subarray(from, from + target.length))
  }
}
