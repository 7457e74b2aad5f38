import { checksum, fields } from './checksum.ts'
import { headerBytes } from './constants.ts'
import { decodeLocatorEntries, type LocatorEntry } from './locator.ts'
import { formatUuid } from './uuid.ts'

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

/** Why 1024 bytes are no header. */
export type HeaderProblem = 'cookie' | 'checksum' | 'version' | 'table-offset'

/** Reads a header; a problem's name where the bytes are none. */
export function decodeHeader(bytes: Uint8Array): VhdHeader | HeaderProblem {
  const view = fields(bytes)
  if (Buffer.from(bytes.subarray(0, 8)).toString('latin1') !== 'cxsparse') return 'cookie'
  if (view.getUint32(36) !== checksum(bytes, 36)) return 'checksum'
  if (view.getUint32(24) !== 0x1_00_00) return 'version'
  const tableOffset = view.getBigUint64(16)
  if (tableOffset > BigInt(Number.MAX_SAFE_INTEGER)) return 'table-offset'
  return {
    tableOffset: Number(tableOffset),
    maximumEntries: view.getUint32(28),
    blockSizeBytes: view.getUint32(32),
    parentUniqueId: formatUuid(bytes.subarray(40, 56)),
    parentTimestamp: view.getUint32(56),
    parentName: decodeName(bytes.subarray(64, 576)),
    locators: decodeLocatorEntries(bytes),
  }
}

/** A new disk's header, without a parent. */
export function encodeHeader(init: {
  readonly tableOffset: number
  readonly maximumEntries: number
  readonly blockSizeBytes: number
}): Uint8Array {
  const bytes = new Uint8Array(headerBytes)
  const view = fields(bytes)
  bytes.set(Buffer.from('cxsparse', 'latin1'))
  bytes.fill(0xff, 8, 16)
  view.setBigUint64(16, BigInt(init.tableOffset))
  view.setUint32(24, 0x1_00_00)
  view.setUint32(28, init.maximumEntries)
  view.setUint32(32, init.blockSizeBytes)
  return sealHeader(bytes)
}

/** Puts the right checksum into a header that was changed. */
export function sealHeader(bytes: Uint8Array): Uint8Array {
  fields(bytes).setUint32(36, checksum(bytes, 36))
  return bytes
}

function decodeName(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).swap16().toString('utf16le')
  const end = text.indexOf('\0')
  return end === -1 ? text : text.slice(0, end)
}

/** Puts the parent's file name into a header; what does not fit is cut. */
export function writeParentName(header: Uint8Array, name: string): void {
  header.fill(0, 64, 576)
  header.set(Buffer.from(name.slice(0, 255), 'utf16le').swap16(), 64)
}
