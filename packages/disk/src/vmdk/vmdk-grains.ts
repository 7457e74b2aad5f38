import type { BlockRange, ReadRanges } from '../blocks/block-disk.ts'
import { Recent } from '../blocks/recent.ts'
import { refuse } from '../disk-format-error.ts'
import type { ImageFile } from '../image-file.ts'
import { inflateZlib } from './inflate-zlib.ts'
import type { VmdkLayout } from './vmdk-layout.ts'

/** Sector of the disk and length, then the compressed bytes. */
const markerBytes = 12
const keptGrains = 4

/** Reads compressed grains: neighbours in the file with one read, inflated several at once. */
export function createGrainReader(file: ImageFile, { grainBytes, sizeBytes }: VmdkLayout): ReadRanges {
  const kept = new Recent<Uint8Array>(keptGrains)
  // A grain that can't be compressed takes a little more than itself; more than twice is no grain.
  const usualBytes = markerBytes + grainBytes + Math.ceil(grainBytes / 64) + 64
  const mostBytes = 2 * grainBytes

  async function readGroup(group: readonly BlockRange[], bytes: Uint8Array, base: number): Promise<void> {
    const from = (group[0] as BlockRange).place
    const end = Math.min(file.sizeBytes, (group.at(-1) as BlockRange).place + usualBytes)
    const view = await file.read(from, end - from, 'a grain')
    const record = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    await Promise.all(
      group.map(async ({ start, end: stop, place }) => {
        const grain = Math.floor(start / grainBytes) * grainBytes
        const whole = stop - start === Math.min(grainBytes, sizeBytes - grain)
        const content = whole
          ? await inflate(record.subarray(place - from), grain, place)
          : await kept.get(place, () => inflate(record.subarray(place - from), grain, place))
        bytes.set(content.subarray(start - grain, stop - grain), start - base)
      }),
    )
  }

  async function inflate(record: Uint8Array, grain: number, place: number): Promise<Uint8Array> {
    if (record.length < markerBytes)
      refuse('vmdk-truncated', 'a grain is cut off by the end of the file', { offset: place })
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
    const data =
      markerBytes + length <= record.length
        ? record.subarray(markerBytes, markerBytes + length)
        : bytesOf(await file.read(place + markerBytes, length, 'a grain'))
    const content = await inflateZlib(data, grainBytes)
    const wanted = Math.min(grainBytes, sizeBytes - grain)
    if (typeof content !== 'string' && content.length >= wanted) return content
    const found = typeof content === 'string' ? content : `${content.length} bytes`
    return refuse('vmdk-grain-data', 'a compressed grain is damaged', {
      found,
      offset: place,
      accepted: `${wanted} bytes`,
    })
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

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}
