import type { Refusal } from '@disk-image/core'
import { viewOf } from '../layouts/fields.ts'
import { hex } from '../layouts/printable.ts'

/** Bytes of a sector, everywhere in the format. */
export const sectorBytes = 512
/** Bytes of a footer, and of its copy at the start. */
export const footerBytes = 512
/** The largest disk: 2040 GiB, the largest that every implementation takes. */
export const maximumDiskBytes: number = 2040 * 1024 ** 3
/** 2000-01-01 UTC, the format's epoch, in seconds since 1970. */
export const epochSeconds = 946_684_800
/** The uuid of nobody. */
export const zeroUuid = '00000000-0000-0000-0000-000000000000'

/** `value` rounded up to a whole number of `unit`s. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit
}

/**
 * The format's checksum: the ones' complement of the sum of all bytes, the field itself counted as zero.
 *
 * @param fieldOffset where the checksum's own four bytes are; none where it is stored elsewhere
 */
export function checksum(bytes: Uint8Array, fieldOffset?: number): number {
  let sum = 0
  for (const byte of bytes) sum += byte
  if (fieldOffset !== undefined) {
    for (const byte of bytes.subarray(fieldOffset, fieldOffset + 4)) sum -= byte
  }
  return ~sum >>> 0
}

/** Latin-1 text, NULs included. */
export function latin1(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length))
}

/** 16 bytes as lower-case text with dashes. */
export function formatUuid(bytes: Uint8Array): string {
  const hex = Array.from(bytes.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** What kind of disk a file holds: all its bytes, the blocks that were written, or those that differ from a parent. */
export type VhdType = 'fixed' | 'dynamic' | 'differencing'

/** Cylinders, heads and sectors per track. It says nothing of the size: `currentSizeBytes` does. */
export interface DiskGeometry {
  readonly cylinders: number
  readonly heads: number
  readonly sectorsPerTrack: number
}

/** Why 512 bytes are no footer that can be used. */
export type FooterProblem = 'cookie' | 'poisoned' | 'checksum' | 'type' | 'version' | 'size'

/** What stands where a footer is, whatever it is worth. */
export interface FooterFields {
  /** Absent in a footer that can be used. */
  readonly problem: FooterProblem | undefined
  readonly type: VhdType | undefined
  readonly typeNumber: number
  /** Bytes of the disk: the truth about its size. */
  readonly currentSize: bigint
  readonly currentSizeBytes: number
  /** Bytes the disk was made with. Nothing is decided by it, so a nonsensical value may lose its last digits. */
  readonly originalSizeBytes: number
  readonly geometry: DiskGeometry
  readonly uniqueId: string
  /** Seconds since 2000-01-01 UTC. */
  readonly timestamp: number
  /** Four characters, NUL included: `tap\0`, `win `, `vpc `, `qemu`, `caml` … */
  readonly creatorApplication: string
  readonly creatorVersion: number
  readonly creatorHost: string
  readonly features: number
  readonly formatVersion: number
  /** Where the dynamic header is, as it stands there. */
  readonly dataOffset: bigint
  /** The same; absent in a fixed disk. */
  readonly headerOffset: number | undefined
  readonly savedState: boolean
  /** XenServer's mark of a base copy. */
  readonly hidden: boolean
  readonly storedChecksum: number
  readonly rightChecksum: number
}

/** A footer that can be used. */
export interface VhdFooter extends FooterFields {
  readonly problem: undefined
  readonly type: VhdType
}

const cookie = 'conectix'
/** What vhd-util writes over the cookie while it resizes. */
const poison = 'v_poison'
const noOffset = 0xff_ff_ff_ff_ff_ff_ff_ffn
const version1 = 0x1_00_00
const types: ReadonlyMap<number, VhdType> = new Map([
  [2, 'fixed'],
  [3, 'dynamic'],
  [4, 'differencing'],
])

/**
 * Reads the fields of a footer. What is behind the end of the bytes counts as zero.
 *
 * @see Microsoft, Virtual Hard Disk Image Format Specification 1.0, "Hard Disk Footer Format"
 */
export function parseVhdFooter(given: Uint8Array): FooterFields {
  const bytes = padded(given)
  const view = viewOf(bytes)
  const typeNumber = view.getUint32(60)
  const dataOffset = view.getBigUint64(16)
  const currentSize = view.getBigUint64(48)
  const fields = {
    type: types.get(typeNumber),
    typeNumber,
    currentSize,
    currentSizeBytes: Number(currentSize),
    originalSizeBytes: Number(view.getBigUint64(40)),
    geometry: { cylinders: view.getUint16(56), heads: view.getUint8(58), sectorsPerTrack: view.getUint8(59) },
    uniqueId: formatUuid(bytes.subarray(68, 84)),
    timestamp: view.getUint32(24),
    creatorApplication: latin1(bytes, 28, 4),
    creatorVersion: view.getUint32(32),
    creatorHost: latin1(bytes, 36, 4),
    features: view.getUint32(8),
    formatVersion: view.getUint32(12),
    dataOffset,
    headerOffset: dataOffset === noOffset ? undefined : Number(dataOffset),
    savedState: bytes[84] !== 0,
    hidden: bytes[85] !== 0,
    storedChecksum: view.getUint32(64),
    rightChecksum: checksum(bytes, 64),
  }
  return Object.freeze({ ...fields, problem: problemOf(bytes, fields) })
}

/** Whether a footer stands there that can be used. */
export function isUsable(footer: FooterFields): footer is VhdFooter {
  return footer.problem === undefined
}

/** Whether a footer stands there: its cookie, and a version and a disk type that exist. */
export function isVhdFooter(bytes: Uint8Array): boolean {
  const { type, formatVersion } = parseVhdFooter(bytes)
  return latin1(bytes, 0, 8) === cookie && formatVersion === version1 && type !== undefined
}

function padded(bytes: Uint8Array): Uint8Array {
  if (bytes.length >= footerBytes) return bytes.subarray(0, footerBytes)
  const whole = new Uint8Array(footerBytes)
  whole.set(bytes)
  return whole
}

function problemOf(bytes: Uint8Array, fields: Omit<FooterFields, 'problem'>): FooterProblem | undefined {
  if (latin1(bytes, 0, 8) === poison) return 'poisoned'
  if (latin1(bytes, 0, 8) !== cookie) return 'cookie'
  if (fields.storedChecksum !== fields.rightChecksum && !isHiddenByEarlyBlktap(bytes, fields))
    return 'checksum'
  if (fields.type === undefined) return 'type'
  if (fields.formatVersion !== version1) return 'version'
  return fields.currentSize > BigInt(Number.MAX_SAFE_INTEGER) ? 'size' : undefined
}

/** Early blktap hid a disk without computing the checksum again. */
function isHiddenByEarlyBlktap(bytes: Uint8Array, fields: Omit<FooterFields, 'problem'>): boolean {
  const { creatorApplication, creatorVersion, hidden, storedChecksum, rightChecksum } = fields
  const early = creatorApplication.startsWith('tap') && [0x1, 0x1_00_01].includes(creatorVersion)
  return early && hidden && storedChecksum === (rightChecksum + (bytes[85] ?? 0)) >>> 0
}

/**
 * What is wrong with a footer by itself, each broken rule once.
 *
 * @param offset of the footer in the file
 */
export function judgeVhdFooter(footer: FooterFields, offset: number): Refusal[] {
  const { formatVersion, type, typeNumber, storedChecksum, rightChecksum } = footer
  const problems: (Refusal | undefined)[] = []
  const wrong = (rule: string, reason: string, at: number, found: string, accepted: string): void => {
    problems.push({ rule, reason, offset: offset + at, found, accepted })
  }
  if (formatVersion !== version1) {
    wrong('footer-version', 'the version of the format is not known', 12, hex(formatVersion), '0x10000')
  }
  if (type === undefined) wrong('footer-type', 'the disk type is not known', 60, `${typeNumber}`, '2, 3 or 4')
  if (storedChecksum !== rightChecksum) {
    const reason = 'the checksum of the footer is wrong'
    wrong('footer-checksum', reason, 64, hex(storedChecksum), hex(rightChecksum))
  }
  problems.push(judgeBitmapOrder(footer, offset), judgeSize(footer, offset))
  if (footer.currentSize === 0n) problems.push(wrongSize(footer, offset))
  return problems.filter((problem) => problem !== undefined)
}

/** The one version of blktap that numbered a bitmap's bits from the other end. */
export function judgeBitmapOrder(footer: FooterFields, offset: number): Refusal | undefined {
  const { creatorApplication, creatorVersion, type } = footer
  if (!creatorApplication.startsWith('tap') || creatorVersion !== 1 || type === 'fixed') return undefined
  return {
    rule: 'bitmap-order',
    reason: 'the sector bitmaps are in the bit order of blktap 0.1',
    offset: offset + 32,
    found: '0.1',
    accepted: 'a later version',
  }
}

/** A disk may be empty here: an image service has no use for one, who makes a chain may have. */
export function judgeSize(footer: FooterFields, offset: number): Refusal | undefined {
  return footer.currentSize > BigInt(maximumDiskBytes) ? wrongSize(footer, offset) : undefined
}

/**
 * Whether the disk of a fixed VHD is there.
 *
 * @param dataBytes bytes before the footer
 */
export function judgeFixedSize(
  { currentSize }: FooterFields,
  dataBytes: number,
  offset: number,
): Refusal | undefined {
  if (currentSize <= BigInt(dataBytes)) return undefined
  return {
    rule: 'fixed-size',
    reason: 'the file is shorter than its footer says',
    offset: offset + 48,
    found: `${dataBytes} bytes of data`,
    accepted: `${currentSize} bytes`,
  }
}

function wrongSize({ currentSize }: FooterFields, offset: number): Refusal {
  return {
    rule: 'size',
    reason: 'the virtual size is not one that a VHD can have',
    offset: offset + 48,
    found: `${currentSize} bytes`,
    accepted: `1 to ${maximumDiskBytes} bytes`,
    reference: 'CVE-2013-2096',
  }
}

/** A footer, or what begins as one, with its place in the file. */
export interface PlacedFooter {
  readonly bytes: Uint8Array
  readonly offset: number
}

/**
 * What begins as a footer at the end of a file: 512 bytes, or 511 as old versions of Virtual PC wrote it.
 *
 * @param tail the last bytes of the file
 */
export function footerLikeAtEnd(tail: Uint8Array, fileBytes: number): PlacedFooter | undefined {
  for (const length of [footerBytes, footerBytes - 1]) {
    if (tail.length < length) continue
    const bytes = tail.subarray(tail.length - length)
    if ([cookie, poison].includes(latin1(bytes, 0, 8))) return { bytes, offset: fileBytes - length }
  }
  return undefined
}

/** Fields of a footer by which readers tell one disk from another, and where they begin. */
const fieldsOfFooter: readonly (readonly [at: number, name: string])[] = [
  [0, 'cookie'],
  [8, 'features'],
  [12, 'version'],
  [16, 'place of the dynamic header'],
  [24, 'time stamp'],
  [28, 'creator'],
  [36, "creator's host"],
  [40, 'original size'],
  [48, 'size of the disk'],
  [56, 'geometry'],
  [60, 'disk type'],
  [64, 'checksum'],
  [68, 'identity'],
  [84, 'saved state'],
  [85, 'reserved bytes'],
]

/**
 * Some readers take the footer at the end for the truth and others its copy at the start, so they must be equal.
 *
 * @param head the bytes at the start of the file
 */
export function judgeFootersAgree(head: Uint8Array, last: PlacedFooter): Refusal | undefined {
  const at = firstDifference(head, last.bytes)
  if (at === undefined) return undefined
  const [start, name] = fieldsOfFooter.findLast(([begin]) => begin <= at) ?? [0, 'cookie']
  const next = fieldsOfFooter.find(([begin]) => begin > at)?.[0] ?? start + 8
  const show = (footer: Uint8Array): string => hex(valueOf(footer, start, Math.min(next - start, 8)))
  return {
    rule: 'footers-differ',
    reason: 'the footer and its copy at the start differ, so readers would see different disks',
    offset: last.offset + start,
    found: `${name} ${show(last.bytes)}, in the copy ${show(head)}`,
    accepted:
      'two equal footers (`disk-image vhd repair` makes them equal, where the footer at the end is right)',
  }
}

function firstDifference(one: Uint8Array, other: Uint8Array): number | undefined {
  let checksumAt: number | undefined
  // The last byte is reserved, and the short footer has none.
  for (let at = 0; at < footerBytes - 1; at += 1) {
    if ((one[at] ?? 0) === (other[at] ?? 0)) continue
    // The checksum follows from what else differs, which says more.
    if (at >= 68 || at < 64) return at
    checksumAt ??= at
  }
  return checksumAt
}

function valueOf(bytes: Uint8Array, at: number, length: number): bigint {
  let value = 0n
  for (let index = 0; index < length; index += 1) value = (value << 8n) | BigInt(bytes[at + index] ?? 0)
  return value
}
