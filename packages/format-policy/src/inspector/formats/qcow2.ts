import { type Fields, hex, parseQcow2, qcow2HeadBytes, type Qcow2Layout } from '@disk-image/disk/layouts'
import type { Report } from '../result.ts'
import { atEnd, firstBytes, headBytes, type ImageEnd, type Steps } from '../engine/steps.ts'
import { checkShared } from './shared.ts'
import { checkAgainstLength, walkTables } from './qcow2-tables.ts'

const checks = [
  'version',
  'header',
  'features',
  'backing-file',
  'data-file',
  'encryption',
  'internal-snapshots',
  'virtual-size',
  'tables',
  'truncated',
  'clean',
  'corrupt',
]

/** `QFI\xfb`, which qcow (version 1) and qcow2 (2 and 3) share. */
export function startsAsQcow(head: Fields): boolean {
  return head.has(0, [0x51, 0x46, 0x49, 0xfb])
}

/** What is in the first cluster, and a backing file's name wherever it is, is looked at in the head. */
export function qcow2Head(head: Fields): number {
  return head.u64be(8) === 0n && qcow2HeadBytes(head.bytes) <= firstBytes ? 0 : headBytes
}

/**
 * qcow2 version 2 and 3.
 *
 * @see https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.rst
 */
export function* examineQcow2(head: Fields, report: Report): Steps<void> {
  report.expect(...checks)
  const layout = parseQcow2(head.bytes)
  report.details.version = layout.version
  report.failAll(layout.problems)
  if (layout.version !== 2 && layout.version !== 3) return
  describe(layout, report)
  const furthest = yield* walkTables(layout, report)
  const end = yield* atEnd()
  checkAgainstLength(layout, furthest, end, report)
  const { clusters, compressedClusters } = furthest
  const bytes = layout.clusterSize
  checkShared({ name: 'clusters', count: clusters, bytes }, end.sizeBytes, report)
  const compressed = { name: 'compressed clusters', count: compressedClusters, bytes, compressed: true }
  checkShared(compressed, end.sizeBytes, report)
  checkLuksHeader(layout, end, report)
}

function describe(layout: Qcow2Layout, report: Report): void {
  const { details } = report
  report.virtualSize = layout.exactSizeBytes
  if (layout.clusterSize !== 0) details.clusterSizeBytes = layout.clusterSize
  if (layout.snapshotCount > 0) details.internalSnapshots = layout.snapshotCount
  if (layout.extendedL2) details.extendedL2 = true
  if (layout.isCompressionKnown) details.compressionType = layout.compression
  const encryption = ['none', 'aes', 'luks'][layout.cryptMethod]
  if (encryption !== undefined && encryption !== 'none') {
    details.encryption = encryption
    const reason = `The data is encrypted (${encryption})`
    report.note('encryption', { reason, offset: 32, found: encryption })
  }
  if (layout.backingOffset !== 0n) details.backingFile = layout.backingFile
  if (layout.backingFileFormat !== undefined) details.backingFileFormat = layout.backingFileFormat
  if (layout.dataFile !== undefined) details.dataFile = layout.dataFile
  if (layout.bitmapCount !== undefined) details.bitmaps = layout.bitmapCount
}

function checkLuksHeader({ luks }: Qcow2Layout, end: ImageEnd, report: Report): void {
  if (luks === undefined || luks.offset + luks.length <= BigInt(end.sizeBytes)) return
  report.fail('truncated', {
    reason: 'The LUKS header of the encrypted image lies behind the end of the file',
    found: `${hex(luks.offset)}, ${luks.length} bytes`,
    accepted: `within ${end.sizeBytes} bytes`,
  })
}
