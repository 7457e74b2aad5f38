import { type Fields, parseParallels, startsAsParallelsExtension, viewOf } from '@disk-image/disk/layouts'
import type { Report } from '../result.ts'
import { atEnd, read, scan, type Steps } from '../engine/steps.ts'
import { checkShared } from './shared.ts'

/** Parallels (ploop) expanding disks, version 2. */
export function* examineParallels(head: Fields, report: Report): Steps<void> {
  report.expect('version', 'header', 'virtual-size', 'tables', 'truncated', 'clean')
  const layout = parseParallels(head.bytes)
  const { entries, tableOffset, clusterBytes, placeUnitBytes, extensionSector } = layout
  report.details.version = layout.version
  report.virtualSize = layout.exactSizeBytes
  report.failAll(layout.problems)
  let furthest = 0
  let used = 0
  let entryOffset = 0
  if (report.checks.every((check) => check.ok || check.name === 'clean')) {
    yield* scan(tableOffset, entries * 4, (piece, at) => {
      const view = viewOf(piece)
      for (let entry = 0; entry + 4 <= piece.length; entry += 4) {
        const place = view.getUint32(entry, true) * placeUnitBytes
        if (place > 0) used += 1
        if (place <= furthest) continue
        furthest = place
        entryOffset = at + entry
      }
    })
  }
  if (extensionSector !== 0n) {
    const found = extensionSector > 1n << 43n ? undefined : yield* read(Number(extensionSector) * 512, 8)
    if (!startsAsParallelsExtension(found ?? new Uint8Array(0))) {
      report.fail('header', {
        reason: 'The format extension is not where the header says',
        offset: 56,
        found: `sector ${extensionSector}`,
        accepted: 'none',
      })
    }
  }
  const { sizeBytes } = yield* atEnd()
  const tableEnd = tableOffset + entries * 4
  if (tableEnd > sizeBytes || furthest >= Math.max(sizeBytes, 1)) {
    report.fail('truncated', {
      reason: 'The file ends before the last of its clusters, so a part of the disk is missing',
      offset: entryOffset,
      found: `${sizeBytes} bytes`,
      accepted: `more than ${Math.max(furthest, tableEnd)} bytes`,
    })
  }
  checkShared({ name: 'clusters', count: used, bytes: clusterBytes }, sizeBytes, report)
}
