import type { Layout, Refusal } from '@disk-image/core'
import { Fields } from '../layouts/fields.ts'
import { hex } from '../layouts/printable.ts'
import { Problems } from '../layouts/problems.ts'
import { longestDescriptor, parseVmdkDescriptor, type VmdkDescriptor } from './vmdk-descriptor.ts'
import { parseVmdkFooter, vmdkFooterBytes } from './vmdk-footer.ts'
import { atEndMark, parseVmdkHeader, type VmdkHeader } from './vmdk-header.ts'

const sector = 512
const copyFlag = 2
const compressedFlag = 0x10000

/** Makes one file of a disk in several. */
export const oneVmdkFile = '`disk-image convert --from vmdk --to raw DESCRIPTOR.vmdk PART… DISK.raw`'

/** What one parse of a VMDK's header and embedded descriptor yields. */
export interface VmdkLayout extends Layout {
  readonly format: 'vmdk'
  /** As the header has it, where {@link Layout.sizeBytes} is inexact. */
  readonly exactSizeBytes: bigint
  readonly header: VmdkHeader
  /** Absent where none is read: the header's version is not known, or there is no end of the text. */
  readonly descriptor: VmdkDescriptor | undefined
  /** As the descriptor has it. */
  readonly createType: string | undefined
  readonly isCompressed: boolean
  readonly grainBytes: number
  /** Byte of the file behind the descriptor's text, in whole sectors: no grain lies before. */
  readonly metadataEnd: number
}

/** Bytes from the start that header and descriptor take; at most 1 MiB. */
export function vmdkHeadBytes({ descriptorSize }: VmdkHeader): number {
  return (
    sector +
    Math.min(descriptorSize > 2048n ? longestDescriptor : Number(descriptorSize) * sector, longestDescriptor)
  )
}

/**
 * Parses header and descriptor of a hosted sparse extent: the first {@link vmdkHeadBytes}.
 *
 * @see VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents"
 */
export function parseVmdk(bytes: Uint8Array): VmdkLayout {
  const head = new Fields(bytes)
  const header = parseVmdkHeader(head)
  const problems = new Problems('vmdk')
  let descriptor: VmdkDescriptor | undefined
  if (checkVersion(header, problems)) {
    checkHeader(header, problems)
    descriptor = parseEmbedded(head, header, problems)
  }
  const text = head.bytes.subarray(sector, vmdkHeadBytes(header))
  const end = text.indexOf(0)
  const metadataEnd = sector + Math.ceil((end < 0 ? text.length : end) / sector) * sector
  return layoutOf(header, descriptor, metadataEnd, problems)
}

/**
 * Parses the header of a sparse extent that is one of several files: its descriptor is another one.
 *
 * @param bytes the first sector
 */
export function parseVmdkPart(bytes: Uint8Array): VmdkLayout {
  const header = parseVmdkHeader(new Fields(bytes))
  const problems = new Problems('vmdk')
  if (!checkVersion(header, problems)) return layoutOf(header, undefined, sector, problems)
  // Where it has none of its own, its place is not said.
  checkHeader({ ...header, descriptorOffset: 1n }, problems)
  return layoutOf(header, undefined, sector, problems)
}

function checkVersion(header: VmdkHeader, problems: Problems): boolean {
  if (header.version >= 1 && header.version <= 3) return true
  problems.add('header', {
    reason: `VMDK version ${header.version} is not known`,
    offset: 4,
    found: `${header.version}`,
    accepted: '1, 2 or 3',
  })
  return false
}

function layoutOf(
  header: VmdkHeader,
  descriptor: VmdkDescriptor | undefined,
  metadataEnd: number,
  problems: Problems,
): VmdkLayout {
  return Object.freeze({
    format: 'vmdk',
    sizeBytes: Number(header.capacity) * sector,
    exactSizeBytes: header.capacity * 512n,
    header,
    descriptor,
    createType: descriptor?.createType,
    isCompressed: (header.flags & compressedFlag) !== 0,
    grainBytes: Number(header.grainSize) * sector,
    metadataEnd,
    problems: problems.list,
  })
}

function checkHeader(header: VmdkHeader, problems: Problems): void {
  const wrong = (reason: string, offset: number, found: string, accepted: string): void =>
    problems.add('header', { reason, offset, found, accepted })
  if (header.capacity === 0n) {
    // A reader then takes the descriptor's extents for the disk, and so other files.
    problems.add('virtual-size', {
      reason: 'The capacity is zero, which sends readers to the files that the descriptor names',
      offset: 12,
      found: '0 sectors',
      accepted: 'the size of the disk',
      reference: 'CVE-2022-47951',
    })
  } else if (header.capacity > 1n << 54n) {
    problems.add('virtual-size', {
      reason: 'The capacity is not one that a disk can have',
      offset: 12,
      found: `${header.capacity} sectors`,
      accepted: 'less than 2^54 sectors',
      reference: 'CVE-2013-2096',
    })
  }
  const { grainSize } = header
  if (grainSize < 1n || grainSize > 2048n || (grainSize & (grainSize - 1n)) !== 0n) {
    wrong('The grain size is outside the format', 20, `${grainSize} sectors`, 'a power of two up to 2048')
  }
  if (header.tableEntries < 1 || header.tableEntries > 512) {
    problems.add('tables', {
      reason: 'The grain tables are larger than the format allows',
      offset: 44,
      found: `${header.tableEntries}`,
      accepted: '1 to 512 entries',
      reference: 'CVE-2015-5162',
    })
  }
  if (header.descriptorOffset !== 1n) {
    wrong('The descriptor is not where it must be', 28, `sector ${header.descriptorOffset}`, 'sector 1')
  }
  if (header.unclean) {
    problems.add('clean', {
      reason: 'The image is marked as open: the program that wrote it did not close it',
      offset: 72,
      found: 'unclean shutdown',
      accepted: 'an image that its program has closed',
    })
  }
}

function parseEmbedded(head: Fields, header: VmdkHeader, problems: Problems): VmdkDescriptor | undefined {
  const text = head.part(sector, vmdkHeadBytes(header) - sector).bytes
  if (text.length === 0 || text[0] === 0) {
    // Some programs keep the sectors for it free in every part.
    const isNone = header.descriptorSize === 0n
    problems.add('descriptor', {
      reason: 'The image has no descriptor: it is one of several parts of a disk',
      offset: isNone ? 36 : sector,
      found: isNone ? '0 sectors' : 'an empty descriptor',
      accepted: `one file: ${oneVmdkFile} makes one of all parts`,
    })
    return undefined
  }
  if (!text.includes(0) && header.descriptorSize * 512n > text.length) {
    problems.add('descriptor', {
      reason: 'The descriptor does not end',
      offset: sector,
      found: `${text.length} bytes and more`,
      accepted: `at most ${longestDescriptor} bytes`,
      reference: 'CVE-2015-5162',
    })
    return undefined
  }
  const descriptor = parseVmdkDescriptor(head, sector, text.length, problems)
  checkExtents(descriptor, problems)
  const isCompressed = (header.flags & compressedFlag) !== 0 || header.compression !== 0
  if (isCompressed && descriptor.createType?.toLowerCase() !== 'streamoptimized') {
    problems.add('create-type', {
      reason: 'The grains are compressed, and the descriptor does not say so',
      offset: 8,
      found: `flags ${hex(header.flags)}`,
      accepted: 'createType="streamOptimized"',
    })
  }
  return descriptor
}

/** The one extent of the disk is this file. */
function checkExtents({ extents, extentCount }: VmdkDescriptor, problems: Problems): void {
  const [first, second] = extents
  if (first === undefined) return
  if (extentCount > 1 || first.type !== 'SPARSE' || first.access === 'NOACCESS') {
    problems.add('extents', {
      reason: 'The descriptor names other extents than the file that it is in',
      offset: (second ?? first).offset,
      found: `${extentCount} extents, the first ${first.access} ${first.type}`,
      accepted: 'one extent, SPARSE',
      reference: 'CVE-2022-47951',
    })
  }
}

/** What the end of a VMDK says. */
export interface VmdkEnd {
  /** The header that knows where the grain directory is: the footer's, where the header sends there. */
  readonly header: VmdkHeader | undefined
  readonly problems: readonly Refusal[]
}

/**
 * Compares the header with the end of the file, and takes the footer where the header sends there.
 *
 * @param tail the last bytes of the file, {@link vmdkFooterBytes} or more where it has them
 */
export function parseVmdkEnd(header: VmdkHeader, tail: Uint8Array, sizeBytes: number): VmdkEnd {
  const problems = new Problems('vmdk')
  checkLength(header, sizeBytes, problems)
  if (header.directory !== atEndMark) {
    checkDirectory(header, sizeBytes, problems)
    return { header, problems: problems.list }
  }
  const footer = parseVmdkFooter(header, tail, sizeBytes, problems)
  if (footer !== undefined) {
    checkLength(footer, sizeBytes, problems)
    checkDirectory(footer, sizeBytes - vmdkFooterBytes, problems)
  }
  return { header: footer, problems: problems.list }
}

function checkLength(header: VmdkHeader, sizeBytes: number, problems: Problems): void {
  if (header.overhead * 512n <= BigInt(sizeBytes)) return
  problems.add('truncated', {
    reason: 'The file ends within its header and tables',
    offset: 64,
    found: `${sizeBytes} bytes`,
    accepted: `at least ${header.overhead * 512n} bytes (of a file that was split: all its parts, cat PART… > FILE)`,
  })
}

/** Entries of the grain directory; undefined if the header makes no sense. */
export function vmdkDirectoryEntries(header: VmdkHeader): number | undefined {
  const covered = header.grainSize * BigInt(header.tableEntries)
  if (covered <= 0n || header.tableEntries > 512 || header.capacity > 1n << 54n) return undefined
  return Number((header.capacity + covered - 1n) / covered)
}

/** Whether the whole grain directory is inside the file, and its copy where the header says that there is one. */
function checkDirectory(header: VmdkHeader, limit: number, problems: Problems): void {
  const entries = vmdkDirectoryEntries(header)
  if (entries === undefined) return
  const missing = (place: bigint): boolean =>
    place === 0n || place * 512n + BigInt(entries) * 4n > BigInt(limit)
  const accepted = `${entries} entries below ${hex(limit)}`
  if (missing(header.directory)) {
    problems.add('truncated', {
      reason: 'The grain directory lies behind the end of the file, so the disk is missing',
      offset: 56,
      found: `sector ${hex(header.directory)}`,
      accepted,
    })
  }
  if ((header.flags & copyFlag) !== 0 && missing(header.redundantDirectory)) {
    problems.add('truncated', {
      reason: 'The copy of the grain directory lies behind the end of the file',
      offset: 48,
      found: `sector ${hex(header.redundantDirectory)}`,
      accepted,
    })
  }
}
