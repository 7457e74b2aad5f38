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
  descriptorLines,
  longestDescriptor,
  parseVmdkDescriptor,
  Problems,
  viewOf,
  vmdkDirectoryEntries,
  type VmdkLayout,
} from '@disk-image/disk/layouts'
import type { Report } from '../result.ts'
import { atEnd, firstBytes, headBytes, type Steps, scan } from '../engine/steps.ts'
import { checkShared } from './shared.ts'

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

const title = '# disk descriptorfile'

/**
 * Whether bytes are a VMDK descriptor for some reader: those that look for its title, and those that skip
 * comments and blank lines and look for `version=`.
 */
export function startsAsDescriptor(head: Fields): boolean {
  for (const { text, offset } of descriptorLines(head, 0, 65536)) {
    if (offset < 4096 && text.toLowerCase().startsWith(title)) return true
    if (text === '' || text.startsWith('#')) continue
    return /^version[ \t]*=[ \t]*[1-9]/i.test(text)
  }
  return false
}

/**
 * A VMDK descriptor as a file of its own: its disk is in other files by nature, so it is never safe.
 */
export function examineDescriptor(head: Fields, report: Report): void {
  report.expect('descriptor', 'create-type', 'extents', 'backing-file')
  const problems = new Problems('vmdk')
  const descriptor = parseVmdkDescriptor(head, 0, longestDescriptor, problems)
  const { extents, extentCount, sectors } = descriptor
  report.failAll(problems.list)
  describe(descriptor, report)
  const names = extents.flatMap((extent) => (extent.name === undefined ? [] : [extent.name]))
  report.details.extents = names
  report.virtualSize = sectors * 512n
  const [only] = extentCount === 1 ? extents : []
  report.fail('extents', {
    reason: 'The image is a description only: its data is in other files, which can be any of the host',
    offset: extents[0]?.offset ?? 0,
    found: names.slice(0, 3).join(', ') || 'a descriptor',
    accepted:
      only?.type === 'FLAT' || only?.type === 'VMFS'
        ? `its one extent, ${only.name ?? 'the file that it names'}, which is the disk (format raw)`
        : `one file: ${oneVmdkFile} makes one of it and its extents`,
    reference: 'CVE-2022-47951',
  })
}

/** Grain tables that are looked into; each of them spans 32 MiB of a usual disk, so these span 1 TiB. */
const mostTables = 32768
const largestDirectoryBytes = 512 * 1024 ** 2

/** The place that reaches furthest, and the entry that names it. */
interface FurthestGrain {
  end: number
  what: string
  entryOffset: number
  /** Grain tables that the directory names, and grains that they name. */
  tables: number
  grains: number
}

/** Goes over the grain directory and the grain tables behind it for the furthest grain. */
function* walkDirectory({ header, isCompressed }: VmdkLayout, report: Report): Steps<FurthestGrain> {
  const furthest: FurthestGrain = { end: 0, what: 'header', entryOffset: 0, tables: 0, grains: 0 }
  const entries = vmdkDirectoryEntries(header)
  if (entries === undefined || header.directory === 0n || header.directory > 1n << 40n) return furthest
  if (entries * 4 > largestDirectoryBytes) {
    report.fail('tables', {
      reason: 'The grain directory is larger than any reader takes',
      offset: 12,
      found: `${entries} entries`,
      accepted: `at most ${largestDirectoryBytes / 4}`,
      reference: 'CVE-2015-5162',
    })
    return furthest
  }
  const tables = new Float64Array(Math.min(entries, mostTables))
  let count = 0
  yield* scan(Number(header.directory) * 512, entries * 4, (piece, at) => {
    const view = viewOf(piece)
    for (let entry = 0; entry + 4 <= piece.length; entry += 4) {
      const table = view.getUint32(entry, true)
      if (table === 0) continue
      furthest.tables += 1
      reach(furthest, table * 512 + header.tableEntries * 4, 'grain table', at + entry)
      if (count < tables.length) tables[count++] = table * 512
    }
  })
  const length = header.tableEntries * 4
  const sorted = tables.subarray(0, count).sort()
  if (sorted.some((table, index) => index > 0 && table === sorted[index - 1])) {
    report.fail('tables', {
      reason: 'Two entries of the grain directory have one grain table, which no program writes',
      offset: 56,
      found: `${count} tables, some of them twice`,
      accepted: 'a table for each entry',
      reference: 'CVE-2015-5162',
    })
  }
  for (const { start, end } of runs(sorted, length)) {
    yield* scan(start, end - start, (piece, at) => {
      // 1 marks a grain of zeros.
      const { most, entry, grains } = highest(piece, Math.max(1, Math.floor((furthest.end - 1) / 512)))
      furthest.grains += grains
      if (entry >= 0) reach(furthest, most * 512 + 1, isCompressed ? 'compressed grain' : 'grain', at + entry)
    })
  }
  return furthest
}

/** The highest number above `floor`, entry -1 if there is none, and how many are the places of grains. */
function highest(
  piece: Uint8Array,
  floor: number,
): { readonly most: number; readonly entry: number; readonly grains: number } {
  const view = viewOf(piece)
  const last = piece.length - 4
  let most = floor
  let found = -1
  let grains = 0
  for (let entry = 0; entry <= last; entry += 4) {
    const number = view.getUint32(entry, true)
    if (number > 1) grains += 1
    if (number === 0 || number <= most) continue
    most = number
    found = entry
  }
  return { most, entry: found, grains }
}

/** Tables that follow each other directly, as one range each. */
function* runs(
  sorted: Float64Array,
  length: number,
): Generator<{ readonly start: number; readonly end: number }> {
  let start = sorted[0]
  if (start === undefined) return
  let end = start + length
  for (const table of sorted) {
    if (table <= end) {
      end = Math.max(end, table + length)
      continue
    }
    yield { start, end }
    start = table
    end = table + length
  }
  yield { start, end }
}

function reach(furthest: FurthestGrain, end: number, what: string, entryOffset: number): void {
  if (end <= furthest.end) return
  furthest.end = end
  furthest.what = what
  furthest.entryOffset = entryOffset
}
