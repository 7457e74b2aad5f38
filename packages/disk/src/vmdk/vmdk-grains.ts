import type { BlockRange, ReadRanges } from '../blocks/block-disk.ts'
import { refuse } from '../disk-format-error.ts'
import { createInflater, type Inflater } from '../inflate/inflater.ts'
import type { ImageFile } from '../image-file.ts'
import type { VmdkLayout } from './vmdk-layout.ts'

/** Sector of the disk and length, then the compressed bytes. */
const markerBytes = 12

/** Reads compressed grains: neighbours in the file with one read. */
export function createGrainReader(file: ImageFile, { grainBytes, sizeBytes }: VmdkLayout): ReadRanges {
  // Room behind the grain, so that one call also sees the end of the stream.
  const output = new Uint8Array(grainBytes + 64)
  let inflater: Inflater | undefined
  // A grain that can't be compressed takes a little more than itself; more than twice is no grain.
  const usualBytes = markerBytes + grainBytes + Math.ceil(grainBytes / 64) + 64
  const mostBytes = 2 * grainBytes

  async function readGroup(group: readonly BlockRange[], bytes: Uint8Array, base: number): Promise<void> {
    const from = (group[0] as BlockRange).place
    const end = Math.min(file.sizeBytes, (group.at(-1) as BlockRange).place + usualBytes)
    const view = await file.read(from, end - from, 'a grain')
    const record = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    for (const range of group) {
      const grain = Math.floor(range.start / grainBytes) * grainBytes
      const data = await dataOf(record.subarray(range.place - from), grain, range.place)
      inflateInto(
        bytes.subarray(range.start - base, range.end - base),
        range.start - grain,
        data,
        grain,
        range.place,
      )
    }
  }

  /** The compressed bytes of a record. */
  async function dataOf(record: Uint8Array, grain: number, place: number): Promise<Uint8Array> {
    if (record.length < markerBytes) {
      refuse('vmdk-truncated', 'a grain is cut off by the end of the file', { offset: place })
    }
    const view = new DataView(record.buffer, record.byteOffset, record.byteLength)
    const sector = view.getBigUint64(0, true)
    const length = view.getUint32(8, true)
    if (sector !== BigInt(grain / 512) || length === 0 || length > mostBytes) {
      refuse('vmdk-grain-marker', 'the marker of a grain is not what its table says', {
        found: `sector ${sector}, ${length} bytes`,
        offset: place,
        accepted: `sector ${grain / 512}, at most ${mostBytes} bytes`,
      })
    }
    if (markerBytes + length <= record.length) return record.subarray(markerBytes, markerBytes + length)
    const rest = await file.read(place + markerBytes, length, 'a grain')
    return new Uint8Array(rest.buffer, rest.byteOffset, rest.byteLength)
  }

  /** Without a wait between: the next grain is inflated into the same memory. */
  function inflateInto(
    target: Uint8Array,
    from: number,
    data: Uint8Array,
    grain: number,
    place: number,
  ): void {
    inflater ??= createInflater('zlib')
    const result = inflater(data, output)
    const produced = typeof result === 'string' ? 0 : result.producedBytes
    const wanted = Math.min(grainBytes, sizeBytes - grain)
    if (produced < wanted || produced > grainBytes) {
      refuse('vmdk-grain-data', 'a compressed grain is damaged', {
        found: typeof result === 'string' ? result : `${produced} bytes`,
        offset: place,
        accepted: `${wanted} bytes`,
      })
    }
    target.set(output.subarray(from, from + target.length))
  }

  return async (ranges, bytes, base) => {
    let group: BlockRange[] = []
    for (const range of ranges) {
      const last = group.at(-1)
      const near =
        last !== undefined && range.place > last.place && range.place - last.place <= usualBytes + 512
      if (!near && group.length > 0) {
        await readGroup(group, bytes, base)
        group = []
      }
      group.push(range)
    }
    if (group.length > 0) await readGroup(group, bytes, base)
  }
}
