import { type Fields, viewOf, hex } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { atEnd, scan, type Steps } from '../engine/steps.ts'
import { checkShared } from './shared.ts'
import { readVhdxMetadata, type VhdxDisk } from './vhdx-metadata.ts'
import { readVhdxRegions, type VhdxRegions } from './vhdx-regions.ts'

const MiB = 1024 ** 2

/** Headers and region tables end here. */
export function vhdxHead(): number {
  return 320 * 1024
}

/**
 * VHDX version 1.
 *
 * @see https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx
 */
export function* examineVhdx(head: Fields, report: Report): Steps<void> {
  report.expect(
    'header',
    'features',
    'metadata',
    'virtual-size',
    'backing-file',
    'tables',
    'truncated',
    'clean',
  )
  const regions = readVhdxRegions(head, report)
  let furthest = 0
  let entryOffset = 0
  let blocks = { name: 'blocks', count: 0, bytes: 0 }
  if (regions !== undefined) {
    // Over a stream only what comes later can be read, so the lower of the two regions goes first.
    const tableFirst = regions.bat.offset < regions.metadata.offset
    let highest = noBlocks
    if (tableFirst) highest = yield* walkTable(regions, undefined)
    const disk = yield* readVhdxMetadata(regions.metadata, report)
    if (disk !== undefined && checkTable(regions, disk, report)) {
      if (!tableFirst) highest = yield* walkTable(regions, disk)
      blocks = { name: 'blocks', count: highest[2], bytes: disk.blockBytes }
      ;({ end: furthest, offset: entryOffset } = endOfBlocks(highest, regions, disk))
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

/** Whether the block allocation table has room for the disk's blocks. */
function checkTable(regions: VhdxRegions, disk: VhdxDisk, report: Report): boolean {
  const needed = entriesOf(disk) * 8n
  if (needed <= BigInt(regions.bat.length)) return true
  report.fail('tables', {
    reason: 'The block allocation table is too small for the virtual size',
    offset: Number(regions.bat.offset),
    found: `${regions.bat.length} bytes`,
    accepted: `at least ${needed}`,
    reference: 'CVE-2015-5162',
  })
  return false
}

/** Payload blocks and, after each run of them, a sector bitmap's entry. */
function entriesOf(disk: VhdxDisk): bigint {
  const block = BigInt(disk.blockBytes)
  const blocks = (disk.sizeBytes + block - 1n) / block
  const run = (BigInt(disk.sectorBytes) * 2n ** 23n) / block
  return blocks === 0n ? 0n : blocks + (blocks - 1n) / run
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
function* walkTable(regions: VhdxRegions, disk: VhdxDisk | undefined): Steps<Furthest> {
  let first = noBlock
  let second = noBlock
  let present = 0
  if (regions.bat.offset > 1n << 52n) return noBlocks
  const length = disk === undefined ? regions.bat.length : Number(entriesOf(disk)) * 8
  yield* scan(Number(regions.bat.offset), Math.min(length, regions.bat.length), (piece, at) => {
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
  regions: VhdxRegions,
  disk: VhdxDisk,
): { readonly end: number; readonly offset: number } {
  const lastEntry = Number(regions.bat.offset) + (Number(entriesOf(disk)) - 1) * 8
  const rest = Number(disk.sizeBytes % BigInt(disk.blockBytes)) || disk.blockBytes
  const ends = [first, second].map(({ place, offset }) => {
    const length = offset === lastEntry ? rest : disk.blockBytes
    return { end: place === 0 ? 0 : place + length, offset }
  })
  return ends.reduce((most, one) => (one.end > most.end ? one : most))
}
