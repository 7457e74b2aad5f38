import { type Fields, parseVdi, vdiDiscarded, type VdiLayout, viewOf } from '@disk-image/disk/layouts'
import type { Report } from '../result.ts'
import { atEnd, scan, type Steps } from '../engine/steps.ts'
import { checkShared } from './shared.ts'

/** VirtualBox disks, version 1.1. */
export function* examineVdi(head: Fields, report: Report): Steps<void> {
  report.expect('version', 'header', 'virtual-size', 'backing-file', 'tables', 'truncated')
  const layout = parseVdi(head.bytes)
  const { blocks, blockBytes, mapOffset } = layout
  report.details.version = layout.version
  report.virtualSize = layout.exactSizeBytes
  report.failAll(layout.problems)
  if (report.hasFailed('version')) return
  if (layout.kind !== undefined) report.details.subformat = layout.kind
  if (report.hasFailed('backing-file')) report.details.backingFile = ''
  let highest = -1
  let entryOffset = 0
  let shared = false
  let used = 0
  if (report.safe) {
    yield* scan(mapOffset, blocks * 4, (piece, at) => {
      const view = viewOf(piece)
      for (let entry = 0; entry + 4 <= piece.length; entry += 4) {
        const block = view.getUint32(entry, true)
        if (block >= vdiDiscarded) continue
        used += 1
        if (block <= highest) continue
        if (block >= blocks) shared = true
        highest = block
        entryOffset = at + entry
      }
    })
  }
  if (shared) {
    report.fail('tables', {
      reason: 'The block map points behind the blocks that there can be',
      offset: entryOffset,
      found: `block ${highest}`,
      accepted: `below ${blocks}`,
    })
  }
  const { sizeBytes } = yield* atEnd()
  checkAgainstLength(layout, highest, entryOffset, sizeBytes, report)
  checkShared({ name: 'blocks', count: used, bytes: blockBytes }, sizeBytes, report)
}

function checkAgainstLength(
  { mapOffset, dataOffset, blocks, blockBytes, blockExtraBytes }: VdiLayout,
  highest: number,
  entryOffset: number,
  sizeBytes: number,
  report: Report,
): void {
  const tableEnd = mapOffset + blocks * 4
  const dataEnd = dataOffset + (highest + 1) * (blockBytes + blockExtraBytes)
  if (tableEnd <= sizeBytes && (highest < 0 || dataEnd <= sizeBytes)) return
  report.fail('truncated', {
    reason: 'The file ends before the last of its blocks, so a part of the disk is missing',
    offset: tableEnd > sizeBytes ? 0x154 : entryOffset,
    found: `${sizeBytes} bytes`,
    accepted: `at least ${Math.max(tableEnd, dataEnd)} bytes`,
  })
}
