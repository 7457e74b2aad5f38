import { type Fields, hex } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { atEnd, firstBytes, headBytes, type Steps } from '../engine/steps.ts'
import { checkVmdkFooter } from './vmdk-footer.ts'
import { longestDescriptor, readDescriptor, type VmdkDescriptor } from './vmdk-descriptor.ts'
import { checkShared } from './shared.ts'
import { atEndMark, readVmdkHeader, type VmdkHeader } from './vmdk-header.ts'
import { oneFile } from './vmdk-text.ts'
import { checkDirectory, walkDirectory } from './vmdk-tables.ts'

const compressedFlag = 0x10000

/** The descriptor is looked at in the head. */
export function vmdkHead(head: Fields): number {
  return readVmdkHeader(head).descriptorSize * 512n + 512n <= BigInt(firstBytes) ? 0 : headBytes
}

/** A hosted sparse extent (`KDMV`) with its descriptor inside: monolithicSparse and streamOptimized. */
export function* examineVmdk(head: Fields, report: Report): Steps<void> {
  report.expect('header', 'descriptor', 'create-type', 'extents', 'backing-file', 'virtual-size')
  report.expect('tables', 'footer', 'truncated', 'clean')
  const header = readVmdkHeader(head)
  report.details.version = header.version
  if (header.version < 1 || header.version > 3) {
    report.fail('header', {
      reason: `VMDK version ${header.version} is not known`,
      offset: 4,
      found: `${header.version}`,
      accepted: '1, 2 or 3',
    })
    return
  }
  report.virtualSize = header.capacity * 512n
  checkHeader(head, header, report)
  checkDescriptor(head, header, report)
  if (header.directory === atEndMark) {
    const end = yield* atEnd()
    checkLength(header, end.sizeBytes, report)
    const footer = checkVmdkFooter(header, end, report)
    if (footer !== undefined) {
      checkLength(footer, end.sizeBytes, report)
      checkDirectory(footer, end.sizeBytes - 1536, report)
    }
  } else {
    const furthest = yield* walkDirectory(header, report)
    const end = yield* atEnd()
    checkLength(header, end.sizeBytes, report)
    checkDirectory(header, end.sizeBytes, report)
    if (furthest.end > end.sizeBytes) {
      report.fail('truncated', {
        reason: `A ${furthest.what} lies behind the end of the file, so a part of the disk is missing`,
        offset: furthest.entryOffset,
        found: hex(furthest.end),
        accepted: `at most ${hex(end.sizeBytes)}`,
      })
    }
    const { tables, grains } = furthest
    checkShared(
      { name: 'grain tables', count: tables, bytes: header.tableEntries * 4 },
      end.sizeBytes,
      report,
    )
    const compressed = (header.flags & compressedFlag) !== 0
    const bytes = Number(header.grainSize) * 512
    checkShared({ name: 'grains', count: grains, bytes, compressed }, end.sizeBytes, report)
  }
}

function checkHeader(head: Fields, header: VmdkHeader, report: Report): void {
  const wrong = (reason: string, offset: number, found: string, accepted: string): void =>
    report.fail('header', { reason, offset, found, accepted })
  if (header.capacity === 0n) {
    // A reader then takes the descriptor's extents for the disk, and so other files.
    report.fail('virtual-size', {
      reason: 'The capacity is zero, which sends readers to the files that the descriptor names',
      offset: 12,
      found: '0 sectors',
      accepted: 'the size of the disk',
      reference: 'CVE-2022-47951',
    })
  } else if (header.capacity > 1n << 54n) {
    report.fail('virtual-size', {
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
    const found = `${header.tableEntries}`
    report.fail('tables', {
      reason: 'The grain tables are larger than the format allows',
      offset: 44,
      found,
      accepted: '1 to 512 entries',
      reference: 'CVE-2015-5162',
    })
  }
  if (header.descriptorOffset !== 1n) {
    wrong('The descriptor is not where it must be', 28, `sector ${header.descriptorOffset}`, 'sector 1')
  }
  if (!head.has(73, '\n \r\n')) {
    report.note('header', {
      reason: 'The bytes that show damage by a transfer as text are changed',
      offset: 73,
      accepted: '0a 20 0d 0a',
    })
  }
  if (header.unclean) {
    report.fail('clean', {
      reason: 'The image is marked as open: the program that wrote it did not close it',
      offset: 72,
      found: 'unclean shutdown',
      accepted: 'an image that its program has closed',
    })
  }
}

function checkDescriptor(head: Fields, header: VmdkHeader, report: Report): void {
  const claimed = header.descriptorSize > 2048n ? longestDescriptor : Number(header.descriptorSize) * 512
  const place = head.part(512, Math.min(claimed, longestDescriptor)).bytes
  if (place.length === 0 || place[0] === 0) {
    // Some programs keep the sectors for it free in every part.
    report.fail('descriptor', {
      reason: 'The image has no descriptor: it is one of several parts of a disk',
      offset: claimed === 0 ? 36 : 512,
      found: claimed === 0 ? '0 sectors' : 'an empty descriptor',
      accepted: `one file: where you trust its descriptor, ${oneFile} makes one of all parts`,
    })
    return
  }
  if (!place.includes(0) && header.descriptorSize * 512n > place.length) {
    report.fail('descriptor', {
      reason: 'The descriptor does not end',
      offset: 512,
      found: `${place.length} bytes and more`,
      accepted: `at most ${longestDescriptor} bytes`,
      reference: 'CVE-2015-5162',
    })
    return
  }
  const descriptor = readDescriptor(head, 512, place.length, report)
  checkExtents(descriptor, report)
  const compressed = (header.flags & compressedFlag) !== 0 || header.compression !== 0
  if (compressed && descriptor.createType?.toLowerCase() !== 'streamoptimized') {
    report.fail('create-type', {
      reason: 'The grains are compressed, and the descriptor does not say so',
      offset: 8,
      found: `flags ${hex(header.flags)}`,
      accepted: 'createType="streamOptimized"',
    })
  }
}

/** The one extent of the disk is this file. */
function checkExtents({ extents, extentCount }: VmdkDescriptor, report: Report): void {
  const [first, second] = extents
  if (first === undefined) return
  if (extentCount > 1 || first.type !== 'SPARSE' || first.access === 'NOACCESS') {
    report.fail('extents', {
      reason: 'The descriptor names other extents than the file that it is in',
      offset: (second ?? first).offset,
      found: `${extentCount} extents, the first ${first.access} ${first.type}`,
      accepted: 'one extent, SPARSE',
      reference: 'CVE-2022-47951',
    })
  }
}

function checkLength(header: VmdkHeader, sizeBytes: number, report: Report): void {
  if (header.overhead * 512n <= BigInt(sizeBytes)) return
  report.fail('truncated', {
    reason: 'The file ends within its header and tables',
    offset: 64,
    found: `${sizeBytes} bytes`,
    accepted: `at least ${header.overhead * 512n} bytes (of a file that was split: all its parts, cat PART… > FILE)`,
  })
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
    accepted: `one file: where you trust its descriptor, ${oneFile} makes one of all parts`,
    reference: 'CVE-2022-47951',
  })
}
