import type { Refusal } from '@disk-image/core'
import { viewOf } from '../layouts/fields.ts'
import { hex } from '../layouts/printable.ts'
import { checksum, footerBytes, formatUuid, latin1, roundUp, sectorBytes } from './footer.ts'

/** Bytes of the header of a dynamic or differencing disk. */
export const headerBytes = 1024
/** The most table entries that are read: 2040 GiB in blocks of 256 KiB; 32 MiB of memory. */
export const maximumBlocks: number = 2 ** 23
const largestBlockBytes = 2 * 1024 ** 2
/** What the entries of a table may add up to: as much as its sector numbers can reach. */
const largestTableBytes = 0xff_00_00_00n * 512n

/** Bytes of a header at which its eight locator entries start, and of one entry. */
export const locatorsOffset = 576
export const locatorBytes = 24
/** The most bytes of a locator that are read: longer than any path. */
export const maximumLocatorBytes = 16_384

/** One of a header's eight entries that say where the parent is. */
export interface LocatorEntry {
  /** 0 to 7. */
  readonly index: number
  /** `W2ru`, `W2ku`, `MacX`, `Wi2r`, `Wi2k`, `Mac `, or four other characters. */
  readonly platform: string
  /** Bytes reserved for the text. */
  readonly spaceBytes: number
  readonly lengthBytes: number
  /** Where the text is. */
  readonly offset: number
}

/** Fields of the header that dynamic and differencing disks have. */
export interface VhdHeader {
  /** Where the block allocation table is. */
  readonly tableOffset: number
  /** How many entries the table has room for; there may be more than the disk has blocks. */
  readonly maximumEntries: number
  readonly blockSizeBytes: number
  /** All zeros where there is no parent, or a raw one. */
  readonly parentUniqueId: string
  /** Seconds since 2000-01-01 UTC. */
  readonly parentTimestamp: number
  /** The parent's file name, for people; nothing is found by it. */
  readonly parentName: string
  readonly locators: readonly LocatorEntry[]
}

/** What a header says, and what is wrong with it. */
export interface JudgedHeader {
  /** Absent where there is none. */
  readonly header: VhdHeader | undefined
  /** Each broken rule once; the first one counts for who refuses. */
  readonly problems: readonly Refusal[]
  /** Blocks of the disk, by its current size; absent where the header says nothing that can be read by. */
  readonly blockCount: number | undefined
  /** Bytes of the sector bitmap in front of every block, padded to whole sectors. */
  readonly bitmapBytes: number
}

/**
 * Reads and judges a header.
 *
 * @param bytes all that the file has of its 1024 bytes
 * @param place where it is, the disk's size, and the length of the file where that is known
 * @see Microsoft, Virtual Hard Disk Image Format Specification 1.0, "Dynamic Disk Header Format"
 */
export function parseVhdHeader(
  bytes: Uint8Array,
  place: { readonly offset: bigint; readonly diskBytes: bigint; readonly fileBytes?: number | undefined },
): JudgedHeader {
  const base = Number(place.offset)
  const problems: Refusal[] = []
  const wrong = (rule: string, reason: string, at: number, found: string, accepted: string): void => {
    problems.push({ rule, reason, offset: base + at, found, accepted })
  }
  if (bytes.length < headerBytes || latin1(bytes, 0, 8) !== 'cxsparse') {
    const reason = 'the header of the dynamic disk is missing'
    wrong('header-cookie', reason, 0, hex(place.offset), 'where the footer says')
    return { header: undefined, problems, blockCount: undefined, bitmapBytes: 0 }
  }
  const view = viewOf(bytes)
  const right = checksum(bytes.subarray(0, headerBytes), 36)
  if (view.getUint32(36) !== right) {
    const reason = 'the checksum of the dynamic header is wrong'
    wrong('header-checksum', reason, 36, hex(view.getUint32(36)), hex(right))
  }
  if (view.getUint32(24) !== 0x1_00_00) {
    const reason = 'the version of the dynamic header is not known'
    wrong('header-version', reason, 24, hex(view.getUint32(24)), '0x10000')
  }
  const header = Object.freeze({
    tableOffset: Number(view.getBigUint64(16)),
    maximumEntries: view.getUint32(28),
    blockSizeBytes: view.getUint32(32),
    parentUniqueId: formatUuid(bytes.subarray(40, 56)),
    parentTimestamp: view.getUint32(56),
    parentName: decodeName(view),
    locators: decodeLocatorEntries(bytes),
  })
  const shapeProblems = judgeShape(header, view.getBigUint64(16), base, place)
  problems.push(...shapeProblems)
  const { blockSizeBytes } = header
  return {
    header,
    problems,
    blockCount: shapeProblems.length === 0 ? Math.ceil(Number(place.diskBytes) / blockSizeBytes) : undefined,
    bitmapBytes: roundUp(Math.ceil(blockSizeBytes / sectorBytes / 8), sectorBytes),
  }
}

function judgeShape(
  { maximumEntries: entries, blockSizeBytes: block }: VhdHeader,
  tableOffset: bigint,
  base: number,
  { diskBytes, fileBytes }: { readonly diskBytes: bigint; readonly fileBytes?: number | undefined },
): Refusal[] {
  if (block < sectorBytes || (block & (block - 1)) !== 0 || block > largestBlockBytes) {
    return [
      {
        rule: 'block-size',
        reason: 'the block size is outside the format',
        offset: base + 32,
        found: `${block} bytes`,
        accepted: 'a power of two from 512 bytes to 2 MiB',
      },
    ]
  }
  const needed = (diskBytes + BigInt(block) - 1n) / BigInt(block)
  const tableSize: Refusal = {
    rule: 'table-size',
    reason: 'the block table does not match the virtual size',
    offset: base + 28,
    found: `${entries} entries`,
    accepted: `${needed} to ${largestTableBytes / BigInt(block)}`,
    reference: 'CVE-2015-5162',
  }
  if (BigInt(entries) < needed || needed > BigInt(maximumBlocks)) return [tableSize]
  const isBeyondAll = tableOffset > 1n << 52n
  const isOutside = fileBytes !== undefined && Number(tableOffset) + entries * 4 > fileBytes
  if (isBeyondAll || isOutside || tableOffset < BigInt(footerBytes)) {
    const outside: Refusal = {
      rule: isBeyondAll ? 'header-table-offset' : 'table-offset',
      reason: 'the block table lies where no file reaches',
      offset: base + 16,
      found: hex(tableOffset),
      accepted: 'a place within the file',
    }
    return [outside]
  }
  return BigInt(entries) * BigInt(block) > largestTableBytes ? [tableSize] : []
}

/** UTF-16, big endian, up to the first NUL. */
function decodeName(view: DataView): string {
  let text = ''
  for (let at = 64; at < locatorsOffset; at += 2) {
    const code = view.getUint16(at)
    if (code === 0) break
    text += String.fromCharCode(code)
  }
  return text
}

/** Reads the entries that are in use. Where they point is not judged here. */
function decodeLocatorEntries(header: Uint8Array): LocatorEntry[] {
  const view = viewOf(header)
  const entries: LocatorEntry[] = []
  for (let index = 0; index < 8; index += 1) {
    const at = locatorsOffset + index * locatorBytes
    if (view.getUint32(at) === 0) continue
    entries.push({
      index,
      platform: latin1(header, at, 4),
      spaceBytes: spaceOf(view.getUint32(at + 4)),
      lengthBytes: view.getUint32(at + 8),
      offset: Number(view.getBigUint64(at + 16)),
    })
  }
  return entries
}

// The specification says sectors, its own author's programs write bytes.
function spaceOf(value: number): number {
  return value < sectorBytes ? value * sectorBytes : value
}

/** Locators whose text can't be read. */
export function judgeLocators(header: VhdHeader, headerOffset: number, fileBytes: number): Refusal[] {
  return header.locators
    .filter(
      ({ offset, lengthBytes, spaceBytes }) =>
        lengthBytes > maximumLocatorBytes || lengthBytes > spaceBytes || offset + lengthBytes > fileBytes,
    )
    .map(({ index, platform }) => ({
      rule: 'locator-bounds',
      reason: `parent locator ${index} is outside of its space or of the file`,
      found: JSON.stringify(platform),
      offset: headerOffset + locatorsOffset + index * locatorBytes,
    }))
}

/**
 * A locator's text as a path with forward slashes, relative to the child's folder or absolute; `undefined`
 * where it names no file of this machine (other platforms, other drives, network shares).
 */
export function decodeLocatorPath(platform: string, bytes: Uint8Array): string | undefined {
  if (platform === 'MacX') {
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes).replace(/\0+$/, '')
    return text.startsWith('file://') && text.length > 7 ? text.slice(7) : undefined
  }
  if (platform !== 'W2ru' && platform !== 'W2ku') return undefined
  const view = viewOf(bytes)
  let text = ''
  for (let at = 0; at + 2 <= bytes.length; at += 2) text += String.fromCharCode(view.getUint16(at, true))
  const path = text.replace(/\0+$/, '').replace(/^[Cc]:(?=\\)/, '')
  if (path === '' || /^[A-Za-z]:/.test(path) || path.startsWith('\\\\')) return undefined
  return path.replaceAll('\\', '/')
}
