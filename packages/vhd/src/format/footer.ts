import { checksum, fields } from './checksum.ts'
import { footerBytes, sectorBytes } from './constants.ts'
import { geometryOf, type DiskGeometry } from './geometry.ts'
import { formatUuid, parseUuid } from './uuid.ts'

/** What kind of disk a file holds: all its bytes, the blocks that were written, or those that differ from a parent. */
export type VhdType = 'fixed' | 'dynamic' | 'differencing'

/** A footer's fields. */
export interface VhdFooter {
  readonly type: VhdType
  /** Bytes of the disk: the truth about its size. */
  readonly currentSizeBytes: number
  /** Bytes the disk was made with. */
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
  /** Where the dynamic header is; absent in a fixed disk. */
  readonly headerOffset: number | undefined
  readonly savedState: boolean
  /** XenServer's mark of a base copy. */
  readonly hidden: boolean
}

/** Why 512 bytes are no footer. */
export type FooterProblem = 'cookie' | 'poisoned' | 'checksum' | 'type' | 'version' | 'size'

const cookie = 'conectix'
const noOffset = 0xff_ff_ff_ff_ff_ff_ff_ffn
const types: ReadonlyMap<number, VhdType> = new Map([
  [2, 'fixed'],
  [3, 'dynamic'],
  [4, 'differencing'],
])

/** Reads a footer; a problem's name where the bytes are none. */
export function decodeFooter(bytes: Uint8Array): VhdFooter | FooterProblem {
  const text = (start: number, length: number): string =>
    Buffer.from(bytes.subarray(start, start + length)).toString('latin1')
  if (text(0, 8) === 'v_poison') return 'poisoned'
  if (text(0, 8) !== cookie) return 'cookie'
  const view = fields(bytes)
  if (!hasRightChecksum(bytes)) return 'checksum'
  const type = types.get(view.getUint32(60))
  if (type === undefined) return 'type'
  if (view.getUint32(12) !== 0x1_00_00) return 'version'
  const [headerOffset, original, current] = [16, 40, 48].map((at) => view.getBigUint64(at)) as [
    bigint,
    bigint,
    bigint,
  ]
  if (current > BigInt(Number.MAX_SAFE_INTEGER)) return 'size'
  return {
    type,
    currentSizeBytes: Number(current),
    // Nothing is decided by it, so a nonsensical value may lose its last digits.
    originalSizeBytes: Number(original),
    geometry: { cylinders: view.getUint16(56), heads: view.getUint8(58), sectorsPerTrack: view.getUint8(59) },
    uniqueId: formatUuid(bytes.subarray(68, 84)),
    timestamp: view.getUint32(24),
    creatorApplication: text(28, 4),
    creatorVersion: view.getUint32(32),
    creatorHost: text(36, 4),
    features: view.getUint32(8),
    formatVersion: view.getUint32(12),
    headerOffset: headerOffset === noOffset ? undefined : Number(headerOffset),
    savedState: bytes[84] !== 0,
    hidden: bytes[85] !== 0,
  }
}

function hasRightChecksum(bytes: Uint8Array): boolean {
  const view = fields(bytes)
  const stored = view.getUint32(64)
  if (stored === checksum(bytes, 64)) return true
  // Early blktap hid a disk without computing the checksum again.
  const early = [0x1, 0x1_00_01].includes(view.getUint32(32))
  if (!early || bytes[85] === 0 || Buffer.from(bytes.subarray(28, 31)).toString('latin1') !== 'tap')
    return false
  const shown = Uint8Array.from(bytes)
  shown[85] = 0
  return stored === checksum(shown, 64)
}

/** What a new footer needs to be told. */
export interface FooterInit {
  readonly type: VhdType
  readonly sizeBytes: number
  readonly uniqueId: string
  readonly timestamp: number
  readonly creatorApplication: string
  readonly creatorVersion: number
  readonly creatorHost: string
}

/** A new disk's footer. The dynamic header is behind the first copy. */
export function encodeFooter(init: FooterInit): Uint8Array {
  const bytes = new Uint8Array(footerBytes)
  const view = fields(bytes)
  const put = (text: string, at: number): void => bytes.set(Buffer.from(text, 'latin1'), at)
  put(cookie, 0)
  view.setUint32(8, 2)
  view.setUint32(12, 0x1_00_00)
  view.setBigUint64(16, init.type === 'fixed' ? noOffset : BigInt(sectorBytes))
  view.setUint32(24, init.timestamp)
  put(init.creatorApplication, 28)
  view.setUint32(32, init.creatorVersion)
  put(init.creatorHost, 36)
  view.setBigUint64(40, BigInt(init.sizeBytes))
  view.setUint32(60, { fixed: 2, dynamic: 3, differencing: 4 }[init.type])
  bytes.set(parseUuid(init.uniqueId), 68)
  return withSize(bytes, init.sizeBytes)
}

/** The same footer for a disk of another size: current size, geometry and checksum are new. */
export function withSize(footer: Uint8Array, sizeBytes: number): Uint8Array {
  const bytes = Uint8Array.from(footer)
  const view = fields(bytes)
  const { cylinders, heads, sectorsPerTrack } = geometryOf(sizeBytes)
  view.setBigUint64(48, BigInt(sizeBytes))
  view.setUint16(56, cylinders)
  view.setUint8(58, heads)
  view.setUint8(59, sectorsPerTrack)
  view.setUint32(64, checksum(bytes, 64))
  return bytes
}

/** The same footer with another uuid. */
export function withUniqueId(footer: Uint8Array, uniqueId: string): Uint8Array {
  const bytes = Uint8Array.from(footer)
  bytes.set(parseUuid(uniqueId), 68)
  fields(bytes).setUint32(64, checksum(bytes, 64))
  return bytes
}
