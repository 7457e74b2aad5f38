import type { Fields } from '../fields.ts'
import { hex, printable } from '../printable.ts'
import type { Report } from '../report.ts'
import { atEnd, firstBytes, headBytes, type ImageEnd, type Steps } from '../engine/steps.ts'
import { checkShared } from './shared.ts'
import { readExtensions } from './qcow2-extensions.ts'
import { checkQcow2Header, type Qcow2Header, readQcow2Header } from './qcow2-header.ts'
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
  const { clusterSize, headerLength, backingOffset } = readQcow2Header(head)
  return backingOffset === 0n && Math.max(clusterSize, headerLength) <= firstBytes ? 0 : headBytes
}

/**
 * qcow2 version 2 and 3.
 *
 * @see https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.rst
 */
export function* examineQcow2(head: Fields, report: Report): Steps<void> {
  report.expect(...checks)
  const header = readQcow2Header(head)
  report.details.version = header.version
  if (header.version !== 2 && header.version !== 3) {
    report.fail('version', {
      reason: `qcow2 version ${header.version} is not known`,
      offset: 4,
      found: `${header.version}`,
      accepted: '2 or 3',
    })
    return
  }
  checkQcow2Header(head, header, report)
  checkBackingFile(head, header, report)
  const extensions = readExtensions(head, header, report)
  const furthest = yield* walkTables(header, extensions, report)
  const end = yield* atEnd()
  checkAgainstLength(header, furthest, end, report)
  const { clusters, compressedClusters } = furthest
  const bytes = header.clusterSize
  checkShared({ name: 'clusters', count: clusters, bytes }, end.sizeBytes, report)
  const compressed = { name: 'compressed clusters', count: compressedClusters, bytes, compressed: true }
  checkShared(compressed, end.sizeBytes, report)
  checkLuksHeader(extensions.luks, end, report)
}

function checkBackingFile(head: Fields, header: Qcow2Header, report: Report): void {
  if (header.backingOffset === 0n) return
  const length = Math.min(header.backingLength, 1023)
  const inside = header.backingOffset < BigInt(head.length)
  const name = inside ? printable(head.text(Number(header.backingOffset), length)) : ''
  report.details.backingFile = name
  report.fail('backing-file', {
    reason: 'The image has a backing file: a tool that opens it opens that file of the host too',
    offset: 8,
    found: name === '' ? `offset ${hex(header.backingOffset)}, ${header.backingLength} bytes` : name,
    accepted: 'an image without a backing file (`qemu-img convert` makes one)',
    reference: 'CVE-2015-5163',
  })
}

function checkLuksHeader(
  range: { readonly offset: bigint; readonly length: bigint } | undefined,
  end: ImageEnd,
  report: Report,
): void {
  if (range === undefined || range.offset + range.length <= BigInt(end.sizeBytes)) return
  report.fail('truncated', {
    reason: 'The LUKS header of the encrypted image lies behind the end of the file',
    found: `${hex(range.offset)}, ${range.length} bytes`,
    accepted: `within ${end.sizeBytes} bytes`,
  })
}
