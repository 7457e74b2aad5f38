import { type Fields, viewOf } from '../fields.ts'
import { hex } from '../printable.ts'
import type { Report } from '../report.ts'
import { atEnd, scan, type Steps } from '../engine/steps.ts'
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
  if (regions !== undefined) {
    // Over a stream only what comes later can be read, so the lower of the two regions goes first.
    const tableFirst = regions.bat.offset < regions.metadata.offset
    let highest: { readonly end: number; readonly offset: number } | undefined
    if (tableFirst) highest = yield* walkTable(regions, undefined)
    const disk = yield* readVhdxMetadata(regions.metadata, report)
    if (disk !== undefined && checkTable(regions, disk, report) && !tableFirst) {
      highest = yield* walkTable(regions, disk)
    }
    // The last block may be cut where the disk ends, so only its start must be there.
    furthest = highest === undefined || highest.end === 0 ? 0 : highest.end + 1
    entryOffset = highest?.offset ?? 0
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

/** Goes over the block allocation table for the furthest block that is present. */
function* walkTable(
  regions: VhdxRegions,
  disk: VhdxDisk | undefined,
): Steps<{ readonly end: number; readonly offset: number }> {
  let end = 0
  let offset = 0
  if (regions.bat.offset > 1n << 52n) return { end, offset }
  const length = disk === undefined ? regions.bat.length : Number(entriesOf(disk)) * 8
  yield* scan(Number(regions.bat.offset), Math.min(length, regions.bat.length), (piece, at) => {
    const view = viewOf(piece)
    for (let entry = 0; entry + 8 <= piece.length; entry += 8) {
      // 6: fully present; 7: partially. Everything else reads as zero or as the parent.
      if ((view.getUint8(entry) & 7) < 6) continue
      const low = view.getUint32(entry, true)
      const place = (view.getUint32(entry + 4, true) * 4096 + (low >>> 20)) * MiB
      if (place <= end) continue
      end = place
      offset = at + entry
    }
  })
  return { end, offset }
}
