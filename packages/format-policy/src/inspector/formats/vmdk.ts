import {
  atEndMark,
  type Fields,
  hex,
  oneVmdkFile,
  parseVmdk,
  parseVmdkEnd,
  parseVmdkHeader,
  printable,
  type VmdkDescriptor,
  vmdkHeadBytes,
} from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { atEnd, firstBytes, headBytes, type Steps } from '../engine/steps.ts'
import { checkShared } from './shared.ts'
import { walkDirectory } from './vmdk-tables.ts'

/** The descriptor is looked at in the head. */
export function vmdkHead(head: Fields): number {
  return vmdkHeadBytes(parseVmdkHeader(head)) <= firstBytes ? 0 : headBytes
}

/** A hosted sparse extent (`KDMV`) with its descriptor inside: monolithicSparse and streamOptimized. */
export function* examineVmdk(head: Fields, report: Report): Steps<void> {
  report.expect('header', 'descriptor', 'create-type', 'extents', 'backing-file', 'virtual-size')
  report.expect('tables', 'footer', 'truncated', 'clean')
  const layout = parseVmdk(head.bytes)
  const { header } = layout
  report.details.version = header.version
  report.failAll(layout.problems)
  if (header.version < 1 || header.version > 3) return
  report.virtualSize = layout.exactSizeBytes
  describe(layout.descriptor, report)
  if (!head.has(73, '\n \r\n')) {
    report.note('header', {
      reason: 'The bytes that show damage by a transfer as text are changed',
      offset: 73,
      accepted: '0a 20 0d 0a',
    })
  }
  if (header.directory === atEndMark) {
    const { tail, sizeBytes } = yield* atEnd()
    report.failAll(parseVmdkEnd(header, tail, sizeBytes).problems)
    return
  }
  const furthest = yield* walkDirectory(layout, report)
  const { tail, sizeBytes } = yield* atEnd()
  report.failAll(parseVmdkEnd(header, tail, sizeBytes).problems)
  if (furthest.end > sizeBytes) {
    report.fail('truncated', {
      reason: `A ${furthest.what} lies behind the end of the file, so a part of the disk is missing`,
      offset: furthest.entryOffset,
      found: hex(furthest.end),
      accepted: `at most ${hex(sizeBytes)}`,
    })
  }
  const { tables, grains } = furthest
  const { grainBytes: bytes, isCompressed: compressed } = layout
  checkShared({ name: 'grain tables', count: tables, bytes: header.tableEntries * 4 }, sizeBytes, report)
  checkShared({ name: 'grains', count: grains, bytes, compressed }, sizeBytes, report)
}

export function describe(descriptor: VmdkDescriptor | undefined, { details }: Report): void {
  if (descriptor?.createType !== undefined) details.createType = printable(descriptor.createType)
  if (descriptor?.backingFile !== undefined) details.backingFile = descriptor.backingFile
  if (descriptor?.encryption !== undefined) details.encryption = descriptor.encryption
}

/** `COWD`, the sparse extents of ESX: only ever a part of a disk. */
export function examineCowd(head: Fields, report: Report): void {
  report.expect('create-type')
  report.details.createType = 'COWD'
  report.virtualSize = BigInt(head.u32le(12)) * 512n
  report.fail('create-type', {
    reason: 'The image is a sparse extent of ESX (COWD), which is a part of a disk only',
    offset: 0,
    found: 'COWD',
    accepted: `one file: ${oneVmdkFile} makes one of all parts`,
    reference: 'CVE-2022-47951',
  })
}
