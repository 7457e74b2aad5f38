import type { Refusal } from '@disk-image/core'
import {
  type Fields,
  footerLikeAtEnd,
  type FooterFields,
  isVhdFooter,
  judgeFixedSize,
  judgeFootersAgree,
  judgeVhdFooter,
  parseVhdFooter,
  parseVhdHeader,
  type PlacedFooter,
  printable,
  TableScan,
  type TableShape,
  vhdFooterBytes,
  vhdHeaderBytes,
} from '@disk-image/disk/layouts'
import type { Report } from '../result.ts'
import { atEnd, type ImageEnd, read, scan, type Steps } from '../engine/steps.ts'
import { checkShared } from './shared.ts'

/** The check that a rule of the layout is a part of; all others are parts of `header`. */
const checkOf: ReadonlyMap<string, string> = new Map([
  ['size', 'virtual-size'],
  ['table-size', 'tables'],
  ['block-on-header', 'tables'],
  ['header-table-offset', 'truncated'],
  ['table-offset', 'truncated'],
  ['block-past-end', 'truncated'],
  ['fixed-size', 'truncated'],
  ['footers-differ', 'footers-differ'],
])

function fail(report: Report, ...problems: readonly (Refusal | undefined)[]): void {
  for (const problem of problems) {
    if (problem === undefined) continue
    const { rule, reason, ...finding } = problem
    const sentence = `${reason.charAt(0).toUpperCase()}${reason.slice(1)}`
    report.fail(checkOf.get(rule) ?? 'header', { reason: sentence, ...finding })
  }
}

/** VHD that begins with a copy of its footer: dynamic and differencing disks. */
export function* examineVhd(head: Fields, report: Report): Steps<void> {
  report.expect('header', 'virtual-size', 'backing-file', 'tables', 'truncated', 'footers-differ')
  report.details.foundAt = 'head'
  const footer = parseVhdFooter(head.bytes)
  if (footer.type === 'differencing') report.details.backingFile = ''
  if (footer.type === 'fixed') {
    report.fail('header', {
      reason: 'A fixed disk has no footer at its start, so this is not a disk that its readers agree about',
      offset: 60,
      found: 'disk type 2 at offset 0',
      accepted: 'a dynamic disk',
    })
  }
  const shape = yield* checkDynamicHeader(footer, report)
  checkFooter(footer, 0, report)
  const table = new TableScan()
  if (shape !== undefined) {
    yield* scan(shape.tableOffset, shape.entries * 4, (piece, at) => table.add(piece, at))
    fail(report, table.problem)
  }
  const end = yield* atEnd()
  if (shape !== undefined) {
    fail(report, table.judgeEnd(shape, end.sizeBytes))
    checkShared({ name: 'blocks', count: table.blocks, bytes: shape.blockBytes }, end.sizeBytes, report)
  }
  checkFootersAgree(head, end, report)
}

/** Where the block table is; undefined where the header says nothing that can be read by. */
function* checkDynamicHeader(footer: FooterFields, report: Report): Steps<TableShape | undefined> {
  const { dataOffset, currentSize } = footer
  const sane = dataOffset >= 512n && dataOffset < 1n << 52n
  const bytes = sane ? yield* read(Number(dataOffset), vhdHeaderBytes) : undefined
  const place = { offset: dataOffset, diskBytes: currentSize }
  const { header, problems, blockCount, bitmapBytes } = parseVhdHeader(bytes ?? new Uint8Array(), place)
  fail(report, ...problems)
  if (header === undefined) return undefined
  if (footer.type === 'differencing') report.details.backingFile = printable(header.parentName)
  const { tableOffset, maximumEntries: entries, blockSizeBytes: blockBytes } = header
  return blockCount === undefined ? undefined : { tableOffset, entries, blockBytes, bitmapBytes }
}

/** What every kind of VHD has in common. */
function checkFooter(footer: FooterFields, offset: number, report: Report): void {
  if (footer.type !== undefined) report.details.subformat = footer.type
  report.virtualSize = footer.currentSize
  fail(report, ...judgeVhdFooter(footer, offset))
  if (footer.type !== 'differencing') return
  report.fail('backing-file', {
    reason:
      'The image is a differencing disk: without its parent it is incomplete, with it, another file is read',
    offset: offset + 60,
    found: report.details.backingFile ?? 'disk type 4',
    accepted: 'a fixed or dynamic disk',
  })
}

/** Only where there is no footer at the end, every reader takes the copy. */
function checkFootersAgree(head: Fields, end: ImageEnd, report: Report): void {
  const last = footerLikeAtEnd(end.tail, end.sizeBytes)
  if (last !== undefined) fail(report, judgeFootersAgree(head.bytes, last))
  else {
    report.note('header', {
      reason: 'The footer at the end is missing; its copy at the start is used',
      offset: Math.max(0, end.sizeBytes - vhdFooterBytes),
    })
  }
}

/** The footer that the image ends with, if it ends with one. */
export function footerAtEnd(end: ImageEnd): PlacedFooter | undefined {
  const found = footerLikeAtEnd(end.tail, end.sizeBytes)
  return found !== undefined && isVhdFooter(found.bytes) ? found : undefined
}

/** VHD that is known only by its footer: a fixed disk is raw data with a footer behind it. */
export function checkVhdAtEnd(end: ImageEnd, report: Report): void {
  report.expect('header', 'virtual-size', 'backing-file', 'truncated')
  report.details.foundAt = 'footer'
  const { bytes, offset } = footerAtEnd(end) ?? { bytes: new Uint8Array(), offset: 0 }
  const footer = parseVhdFooter(bytes)
  checkFooter(footer, offset, report)
  if (footer.type === 'fixed') fail(report, judgeFixedSize(footer, offset, offset))
  else {
    report.fail('header', {
      reason: 'The copy of the footer that a dynamic disk begins with is missing',
      offset: 0,
      found: `disk type ${footer.type}`,
      accepted: 'a footer at the start too',
    })
  }
}
