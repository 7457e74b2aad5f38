import {
  type Asking,
  createVhdxLayout,
  type Fields,
  hex,
  parseVhdxHead,
  parseVhdxMetadata,
  vhdxHeadBytes,
  type VhdxLayout,
  type VhdxRegion,
  viewOf,
} from '@disk-image/disk/layouts'
import type { Report } from '../result.ts'
import { atEnd, read, scan, type Steps } from '../engine/steps.ts'
import { checkShared } from './shared.ts'

const MiB = 1024 ** 2

/** Headers and region tables end here. */
export function vhdxHead(): number {
  return vhdxHeadBytes
}

/** VHDX version 1. */
export function* examineVhdx(head: Fields, report: Report): Steps<void> {
  report.expect('header', 'features', 'metadata', 'virtual-size', 'backing-file')
  report.expect('tables', 'truncated', 'clean')
  const { version, regions, problems } = parseVhdxHead(head.bytes)
  report.failAll(problems)
  if (version !== undefined) report.details.version = version
  let furthest = 0
  let entryOffset = 0
  let blocks = { name: 'blocks', count: 0, bytes: 0 }
  if (regions !== undefined) {
    const { bat, metadata: place } = regions
    // Over a stream only what comes later can be read, so the lower of the two regions goes first.
    const tableFirst = bat.offset < place.offset
    let highest = tableFirst ? yield* walkTable(bat, bat.length) : noBlocks
    const metadata = yield* answer(parseVhdxMetadata(place))
    report.virtualSize = metadata.sizeBytes
    if (metadata.backingFile !== undefined) report.details.backingFile = metadata.backingFile
    const layout = createVhdxLayout(problems, regions, metadata)
    report.failAll(layout.problems)
    if (metadata.isSized && !report.hasFailed('tables')) {
      if (!tableFirst) highest = yield* walkTable(bat, layout.entries * 8)
      blocks = { name: 'blocks', count: highest[2], bytes: layout.blockBytes }
      ;({ end: furthest, offset: entryOffset } = endOfBlocks(highest, layout))
    }
  }
  const { sizeBytes } = yield* atEnd()
  for (const region of regions?.all ?? []) {
    if (region.offset + BigInt(region.length) > BigInt(sizeBytes)) {
      report.fail('truncated', {
        reason: 'A region lies behind the end of the file',
        offset: 192 * 1024,
        found: `${region.length} bytes at ${hex(region.offset)}`,
        accepted: `within ${sizeBytes} bytes`,
      })
    }
  }
  if (furthest > sizeBytes) {
    report.fail('truncated', {
      reason: 'A block lies behind the end of the file, so a part of the disk is missing',
      offset: entryOffset,
      found: hex(furthest),
      accepted: `at most ${hex(sizeBytes)}`,
    })
  }
  checkShared(blocks, sizeBytes, report)
}

/** Reads what a parser asks for. */
function* answer<Result>(asking: Asking<Result>): Steps<Result> {
  let step = asking.next()
  while (step.done !== true) step = asking.next(yield* read(step.value.offset, step.value.length))
  return step.value
}

/** A block's place in the file and that of its entry, both in bytes. */
interface Block {
  readonly place: number
  readonly offset: number
}

/** The two blocks that lie furthest behind; the last block of the disk can be shorter than others. */
type Furthest = readonly [first: Block, second: Block, present: number]

const noBlock: Block = { place: 0, offset: 0 }
const noBlocks: Furthest = [noBlock, noBlock, 0]

/** Goes over the block allocation table for the furthest blocks that are present. */
function* walkTable({ offset, length: most }: VhdxRegion, length: number): Steps<Furthest> {
  let first = noBlock
  let second = noBlock
  let present = 0
  if (offset > 1n << 52n) return noBlocks
  yield* scan(Number(offset), Math.min(length, most), (piece, at) => {
    const view = viewOf(piece)
    const last = piece.length - 8
    for (let entry = 0; entry <= last; entry += 8) {
      // 6: fully present; 7: partially. Everything else reads as zero or as the parent.
      if ((view.getUint8(entry) & 7) < 6) continue
      present += 1
      const place = (view.getUint32(entry + 4, true) * 4096 + (view.getUint32(entry, true) >>> 20)) * MiB
      if (place <= second.place) continue
      const block = { place, offset: at + entry }
      if (place > first.place) [first, second] = [block, first]
      else second = block
    }
  })
  return [first, second, present]
}

/** Where the furthest block ends, and the entry that says so. */
function endOfBlocks(
  [first, second]: Furthest,
  { sizeBytes, blockBytes, tableOffset, entries }: VhdxLayout,
): { readonly end: number; readonly offset: number } {
  const lastEntry = tableOffset + (entries - 1) * 8
  const rest = sizeBytes % blockBytes || blockBytes
  const ends = [first, second].map(({ place, offset }) => {
    const length = offset === lastEntry ? rest : blockBytes
    return { end: place === 0 ? 0 : place + length, offset }
  })
  return ends.reduce((most, one) => (one.end > most.end ? one : most))
}
