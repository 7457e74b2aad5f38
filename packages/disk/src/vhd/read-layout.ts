import type { Refusal, RandomAccessReader } from '@disk-image/core'
import { readFullyFrom } from '@disk-image/io'
import { viewOf } from '../layouts/fields.ts'
import {
  checksum,
  footerBytes,
  type FooterFields,
  isUsable,
  judgeBitmapOrder,
  judgeFixedSize,
  judgeFootersAgree,
  judgeSize,
  latin1,
  parseVhdFooter,
  roundUp,
  sectorBytes,
  type VhdFooter,
} from './footer.ts'
import { headerBytes, judgeLocators, parseVhdHeader, type VhdHeader } from './header.ts'
import {
  type Batmap,
  disagreements,
  type DynamicLayout,
  type FoundFooter,
  sayFooterProblem,
  type UnreadableVhd,
  type VhdIssue,
  type VhdIssueSeverity,
  type VhdLayout,
} from './layout.ts'
import { judgeTable, parseTable } from './table.ts'
import { VhdError } from '../errors.ts'

/**
 * The metadata of a file that can be read for certain.
 *
 * @param trustEndFooter whether the footer at the end counts where its copy says something else: only for who
 *   writes both anew
 * @throws {VhdError} with the first violation that is fatal
 */
export async function readVhdLayout(source: ByteSource, trustEndFooter = false): Promise<VhdLayout> {
  const layout = await examineLayout(source)
  const fatal = layout.problems.find(
    ({ severity, rule }) => severity === 'fatal' && !(trustEndFooter && disagreements.has(rule)),
  )
  if (fatal !== undefined) throw new VhdError({ ...fatal, path: source.path })
  if (!('format' in layout))
    throw new VhdError({ path: source.path, rule: 'unreadable', reason: 'no metadata' })
  return layout
}

/**
 * Reads a file's metadata and judges all of it. Never throws for what the file contains: a file that can't be
 * read comes back as its list of violations, one of them `fatal`.
 */
export async function examineLayout(source: ByteSource): Promise<VhdLayout | UnreadableVhd> {
  const found = await findFooter(source)
  if ('rule' in found) return { found: undefined, problems: [found] }
  const problems = [...found.problems]
  const failed = (refusal: Refusal): UnreadableVhd => ({
    found,
    problems: [...problems, { ...refusal, severity: 'fatal' }],
  })
  const { footer } = found
  const footerOffset = found.origin === 'start' ? 0 : source.size - found.tailBytes
  const base = { format: 'vhd', kind: footer.type, sizeBytes: footer.currentSizeBytes, found } as const
  const size = judgeSize(footer, footerOffset)
  if (size !== undefined) return failed(size)
  if (footer.type === 'fixed') {
    const dataBytes = source.size - found.tailBytes
    const short = judgeFixedSize(footer, dataBytes, footerOffset)
    if (short !== undefined) return failed(short)
    if (footer.currentSizeBytes < dataBytes) {
      const reason = 'there are bytes between the disk and the footer'
      problems.push({ severity: 'warning', rule: 'fixed-gap', reason, offset: footer.currentSizeBytes })
    }
    return Object.freeze({ ...base, fileBytes: source.size, dynamic: undefined, problems })
  }
  const order = judgeBitmapOrder(footer, footerOffset)
  if (order !== undefined) return failed(order)
  const headerOffset = footer.headerOffset ?? Number.MAX_SAFE_INTEGER
  if (headerOffset < sectorBytes || headerOffset + headerBytes > source.size) {
    return failed({
      rule: 'header-offset',
      reason: 'the header is outside of the file',
      offset: footerOffset + 16,
      found: `${headerOffset}`,
    })
  }
  const read = await readHeader(source, found, headerOffset)
  if ('rule' in read) return failed(read)
  const batmap = await findBatmap(source, footer, read.header)
  problems.push(...batmap.problems)
  for (const problem of judgeLocators(read.header, headerOffset, source.size)) {
    problems.push({ ...problem, severity: 'error' })
  }
  const table = judgeTable(source.size, found, { ...read, batmap: batmap.batmap })
  problems.push(...table.problems)
  const dynamic = Object.freeze({
    ...read,
    batmap: table.overlapped.has('batmap') ? undefined : batmap.batmap,
    endOfData: table.endOfData,
    overlapped: table.overlapped,
  })
  return Object.freeze({ ...base, fileBytes: source.size, dynamic, problems })
}

/** Header and table. */
async function readHeader(
  source: ByteSource,
  { footer }: FoundFooter,
  headerOffset: number,
): Promise<Refusal | Omit<DynamicLayout, 'endOfData' | 'batmap' | 'overlapped'>> {
  const bytes = await readBytes(source, headerOffset, headerBytes)
  const { header, problems, blockCount, bitmapBytes } = parseVhdHeader(bytes, {
    offset: BigInt(headerOffset),
    diskBytes: footer.currentSize,
    fileBytes: source.size,
  })
  const [problem] = problems
  if (problem !== undefined) return problem
  if (header === undefined || blockCount === undefined) throw new RangeError('a header without a shape')
  const table = parseTable(await readBytes(source, header.tableOffset, blockCount * 4))
  return { header, headerOffset, headerBytes: bytes, blockCount, bitmapBytes, table }
}

/** Finds the footer: at the end, else one byte short, else the copy at the start of a dynamic disk. */
export async function findFooter(source: ByteSource): Promise<FoundFooter | VhdIssue> {
  const fatal = (rule: string, reason: string, offset: number): VhdIssue => ({
    severity: 'fatal',
    rule,
    reason,
    offset,
  })
  if (source.size < footerBytes - 1) {
    return {
      ...fatal('too-small', 'the file is smaller than a footer', 0),
      found: `${source.size} bytes`,
    }
  }
  const first = await readBytes(source, 0, Math.min(footerBytes, source.size))
  const start = parseVhdFooter(first.length === footerBytes ? first : new Uint8Array())
  const end = await tailFooter(source)
  const poisoned = [start, end.footer].find(({ problem }) => problem === 'poisoned')
  if (poisoned !== undefined) {
    const reason = `its footer ${sayFooterProblem(poisoned)}: finish or revert that first`
    return fatal('journal-open', reason, poisoned === start ? 0 : end.offset)
  }
  const large = [end.footer, start].find(({ problem }) => problem === 'size')
  if (large !== undefined && !isUsable(end.footer)) {
    const offset = (large === end.footer ? end.offset : 0) + 48
    return fatal('size', `its footer ${sayFooterProblem(large)}`, offset)
  }
  if (isUsable(end.footer)) {
    const { footer, bytes, origin, tailBytes } = end
    const found = { footer, bytes, origin, tailBytes }
    return Object.freeze({ ...found, problems: judgeCopy(found, first, start, source.size) })
  }
  const say = `the footer at the end ${sayFooterProblem(end.footer)}`
  if (!isUsable(start) || start.type === 'fixed') {
    return fatal('footer-missing', `${say}, and there is no usable copy at the start`, end.offset)
  }
  const isGone = end.footer.problem === 'cookie'
  const problem: VhdIssue = {
    severity: isGone ? 'error' : 'fatal',
    // Other readers may take for a footer what is not quite one.
    rule: isGone ? 'footer-end' : 'footer-damaged',
    reason: `${say}; the copy at the start is used`,
    offset: end.offset,
  }
  return Object.freeze({ footer: start, bytes: first, origin: 'start', tailBytes: 0, problems: [problem] })
}

interface Tail {
  readonly footer: FooterFields
  readonly bytes: Uint8Array
  readonly origin: 'end' | 'end-511'
  readonly tailBytes: number
  readonly offset: number
}

async function tailFooter(source: ByteSource): Promise<Tail> {
  const offset = Math.max(0, source.size - footerBytes)
  const bytes = await readBytes(source, offset, source.size - offset)
  const whole = parseVhdFooter(bytes.length === footerBytes ? bytes : new Uint8Array())
  if (isUsable(whole)) return { footer: whole, bytes, origin: 'end', tailBytes: footerBytes, offset }
  const tailBytes = footerBytes - 1
  const short = new Uint8Array(footerBytes)
  short.set(bytes.subarray(bytes.length - tailBytes))
  const old = parseVhdFooter(short)
  if (isUsable(old)) {
    return { footer: old, bytes: short, origin: 'end-511', tailBytes, offset: source.size - tailBytes }
  }
  const footer = whole.problem === 'cookie' ? old : whole
  return { footer, bytes, origin: 'end', tailBytes: footerBytes, offset }
}

function judgeCopy(
  tail: Omit<FoundFooter, 'problems'>,
  first: Uint8Array,
  start: FooterFields,
  fileBytes: number,
): VhdIssue[] {
  const problems: VhdIssue[] = []
  if (tail.origin === 'end-511') {
    const reason = 'the footer at the end is 511 bytes long, as in very old files'
    problems.push({ severity: 'warning', rule: 'footer-511', reason, offset: fileBytes - tail.tailBytes })
  }
  if (tail.footer.type === 'fixed') return problems
  if (!isUsable(start)) {
    const reason = `the footer's copy at the start ${sayFooterProblem(start)}`
    problems.push({ severity: 'fatal', rule: 'footer-copy', reason, offset: 0 })
    return problems
  }
  const differs = judgeFootersAgree(first, { bytes: tail.bytes, offset: fileBytes - tail.tailBytes })
  if (differs !== undefined) problems.push({ ...differs, severity: 'fatal' })
  return problems
}

interface FoundBatmap {
  readonly batmap: Batmap | undefined
  readonly problems: readonly VhdIssue[]
}

/** Finds and judges XenServer's batmap. A damaged one is as good as none: the bitmaps are the truth. */
async function findBatmap(
  source: ByteSource,
  { creatorApplication, creatorVersion }: VhdFooter,
  { tableOffset, maximumEntries }: VhdHeader,
): Promise<FoundBatmap> {
  const none: FoundBatmap = { batmap: undefined, problems: [] }
  if (!creatorApplication.startsWith('tap') || creatorVersion < 0x1_00_01) return none
  // A table has at least one sector, even of an empty disk.
  const headerOffset = roundUp(tableOffset + Math.max(1, maximumEntries) * 4, sectorBytes)
  const wrong = (
    reason: string,
    rule = 'batmap',
    severity: VhdIssueSeverity = 'error',
    offset = headerOffset,
  ): FoundBatmap => ({ batmap: undefined, problems: [{ severity, rule, reason, offset }] })
  const isOptional = creatorVersion === 0x1_00_01
  if (headerOffset + sectorBytes > source.size) {
    return isOptional ? none : wrong('the batmap is outside of the file')
  }
  const header = await readBytes(source, headerOffset, sectorBytes)
  const view = viewOf(header)
  const mapOffset = Number(view.getBigUint64(8))
  if (latin1(header, 0, 8) !== 'tdbatmap' || mapOffset > Number.MAX_SAFE_INTEGER) {
    return isOptional ? none : wrong('the batmap has no "tdbatmap" cookie')
  }
  if (header[29] === 1) {
    return wrong('its data is encrypted by XenServer', 'encrypted', 'fatal', headerOffset + 29)
  }
  const mapBytes = batmapBytes(maximumEntries)
  const isInside = mapOffset >= headerOffset + sectorBytes && mapOffset + mapBytes <= source.size
  if (!isInside || view.getUint32(16) * sectorBytes < Math.ceil(maximumEntries / 8)) {
    return wrong("the batmap's map is outside of the file")
  }
  const intact = checksum(await readBytes(source, mapOffset, mapBytes)) === view.getUint32(24)
  const problems = intact ? [] : wrong('the batmap has a wrong checksum').problems
  return { batmap: { headerOffset, mapOffset, mapBytes, intact }, problems }
}

/** Bytes of the map that the checksum of a disk with so many table entries covers. */
export function batmapBytes(maximumEntries: number): number {
  return Math.max(sectorBytes, roundUp(Math.ceil(maximumEntries / 8), sectorBytes))
}

/** Where the bytes of a chain's disk are read from. */
export interface ByteSource {
  /** Bytes in all. */
  readonly size: number
  /** As the caller named it; readers have none. */
  readonly path?: string | undefined
  /** The same text for the same file, whatever its names. */
  readonly identity?: string | undefined
  /**
   * Fills the target from the offset on.
   *
   * @throws {VhdError} rule `truncated` where the source ends before
   */
  read(target: Uint8Array, offset: number): Promise<void>
}

/** A reader as a source. */
export function sourceOf(reader: RandomAccessReader): ByteSource {
  return {
    size: reader.size,
    read: (target, offset) => readWhole(readFullyFrom(reader, target, offset), target, offset),
  }
}

/** @throws {VhdError} rule `truncated` where a reading filled less than the target */
export async function readWhole(
  reading: Promise<number>,
  target: Uint8Array,
  offset: number,
  path?: string,
): Promise<void> {
  const bytes = await reading
  if (bytes === target.length) return
  const reason = 'the file ends before its contents'
  throw new VhdError({ path, rule: 'truncated', reason, offset: offset + bytes })
}

/** Bytes of their own, `length` of them from the offset. */
export async function readBytes(source: ByteSource, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  await source.read(bytes, offset)
  return bytes
}
