import { Fields, viewOf, hex } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { atEnd, type ImageEnd, read, scan, type Steps } from '../engine/steps.ts'
import { checksum, checkVhdFooter, readVhdFooter, utf16be, type VhdFooter } from './vhd-footer.ts'
import { checkShared } from './shared.ts'
import { checkFootersAgree, footerAtEnd } from './vhd-footers.ts'

const unusedBlock = 0xffffffff
/** Bytes that a block table may span: the largest disk. */
const largestTable = 0xff000000n * 512n
/** Blocks of the largest disk that is read, 2040 GiB in blocks of 256 KiB. */
const mostBlocks = 2n ** 23n
const largestBlock = 2 * 1024 ** 2

/** VHD that begins with a copy of its footer: dynamic and differencing disks. */
export function* examineVhd(head: Fields, report: Report): Steps<void> {
  report.expect('header', 'virtual-size', 'backing-file', 'tables', 'truncated', 'footers-differ')
  report.details.foundAt = 'head'
  const footer = readVhdFooter(head)
  if (footer.kind === 'differencing') report.details.backingFile = ''
  if (footer.kind === 'fixed') {
    report.fail('header', {
      reason: 'A fixed disk has no footer at its start, so this is not a disk that its readers agree about',
      offset: 60,
      found: 'disk type 2 at offset 0',
      accepted: 'a dynamic disk',
    })
  }
  const sane = footer.dataOffset >= 512n && footer.dataOffset < 1n << 52n
  const header = sane ? yield* read(Number(footer.dataOffset), 1024) : undefined
  const layout = checkDynamicHeader(header, footer, report)
  checkVhdFooter(head, footer, 0, report)
  let furthest = 0
  let furthestEntry = 0
  let blocks = 0
  if (layout !== undefined) {
    yield* scan(layout.table, layout.entries * 4, (piece, at) => {
      const view = viewOf(piece)
      for (let entry = 0; entry + 4 <= piece.length; entry += 4) {
        const sector = view.getUint32(entry)
        if (sector === unusedBlock) continue
        blocks += 1
        if (sector < 3) blockOverHeader(report, at + entry, sector)
        if (sector < furthest) continue
        furthest = sector
        furthestEntry = at + entry
      }
    })
  }
  const end = yield* atEnd()
  if (layout !== undefined) {
    checkAgainstLength(layout, furthest, furthestEntry, end, report)
    checkShared({ name: 'blocks', count: blocks, bytes: layout.blockBytes }, end.sizeBytes, report)
  }
  checkFootersAgree(head, end, report)
}

interface DynamicLayout {
  readonly table: number
  readonly entries: number
  readonly blockBytes: number
}

function checkDynamicHeader(
  bytes: Uint8Array | undefined,
  footer: VhdFooter,
  report: Report,
): DynamicLayout | undefined {
  const fields = new Fields(bytes ?? new Uint8Array(0))
  const base = Number(footer.dataOffset)
  const wrong = (reason: string, at: number, found: string, accepted: string): void =>
    report.fail('header', { reason, offset: base + at, found, accepted })
  if (!fields.has(0, 'cxsparse') || fields.length < 1024) {
    wrong('The header of the dynamic disk is missing', 0, hex(footer.dataOffset), 'where the footer says')
    return undefined
  }
  if (checksum(fields, 1024, 36) !== fields.u32be(36)) {
    wrong(
      'The checksum of the dynamic header is wrong',
      36,
      hex(fields.u32be(36)),
      hex(checksum(fields, 1024, 36)),
    )
  }
  if (fields.u32be(24) !== 0x10000) {
    wrong('The version of the dynamic header is not known', 24, hex(fields.u32be(24)), '0x10000')
  }
  if (footer.kind === 'differencing') report.details.backingFile = utf16be(fields, 64, 512)
  const table = fields.u64be(16)
  const entries = fields.u32be(28)
  const blockBytes = fields.u32be(32)
  if (blockBytes < 512 || (blockBytes & (blockBytes - 1)) !== 0 || blockBytes > largestBlock) {
    const accepted = 'a power of two from 512 bytes to 2 MiB'
    wrong('The block size is outside the format', 32, `${blockBytes} bytes`, accepted)
    return undefined
  }
  const needed = (footer.currentSize + BigInt(blockBytes) - 1n) / BigInt(blockBytes)
  const spans = BigInt(entries) * BigInt(blockBytes)
  if (BigInt(entries) < needed || spans > largestTable || needed > mostBlocks) {
    report.fail('tables', {
      reason: 'The block table does not match the virtual size',
      offset: base + 28,
      found: `${entries} entries`,
      accepted: `${needed} to ${largestTable / BigInt(blockBytes)}`,
      reference: 'CVE-2015-5162',
    })
    return undefined
  }
  if (table < 512n || table > 1n << 52n) {
    report.fail('truncated', {
      reason: 'The block table lies where no file reaches',
      offset: base + 16,
      found: hex(table),
      accepted: 'a place within the file',
    })
    return undefined
  }
  return { table: Number(table), entries, blockBytes }
}

/** A footer and a header of two sectors are in front of every block. */
function blockOverHeader(report: Report, offset: number, sector: number): void {
  if (report.hasFailed('tables')) return
  report.fail('tables', {
    reason: 'A block lies over the header',
    offset,
    found: `sector ${sector}`,
    accepted: 'a place behind the header',
  })
}

function checkAgainstLength(
  layout: DynamicLayout,
  furthestSector: number,
  entryOffset: number,
  end: ImageEnd,
  report: Report,
): void {
  const tableEnd = Math.ceil((layout.table + layout.entries * 4) / 512) * 512
  const bitmapBytes = Math.ceil(layout.blockBytes / 512 / 8 / 512) * 512
  const blockEnd = furthestSector * 512 + bitmapBytes + layout.blockBytes
  if (tableEnd > end.sizeBytes || (furthestSector > 0 && blockEnd > end.sizeBytes)) {
    report.fail('truncated', {
      reason: 'The file ends before the last of its blocks, so a part of the disk is missing',
      offset: tableEnd > end.sizeBytes ? layout.table : entryOffset,
      found: `${end.sizeBytes} bytes`,
      accepted: `at least ${Math.max(tableEnd, blockEnd)} bytes`,
    })
  }
}

/** VHD that is known only by its footer: a fixed disk is raw data with a footer behind it. */
export function checkVhdAtEnd(end: ImageEnd, report: Report): void {
  report.expect('header', 'virtual-size', 'backing-file', 'truncated')
  report.details.foundAt = 'footer'
  const { fields, offset } = footerAtEnd(end) ?? { fields: new Fields(new Uint8Array(0)), offset: 0 }
  const footer = readVhdFooter(fields)
  checkVhdFooter(fields, footer, offset, report)
  if (footer.kind !== 'fixed') {
    report.fail('header', {
      reason: 'The copy of the footer that a dynamic disk begins with is missing',
      offset: 0,
      found: `disk type ${footer.kind}`,
      accepted: 'a footer at the start too',
    })
  } else if (footer.currentSize > BigInt(offset)) {
    report.fail('truncated', {
      reason: 'The file is shorter than its footer says',
      offset: offset + 48,
      found: `${offset} bytes of data`,
      accepted: `${footer.currentSize} bytes`,
    })
  }
}
