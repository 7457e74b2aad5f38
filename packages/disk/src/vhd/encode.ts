import { viewOf } from '../layouts/fields.ts'
import { checksum, type DiskGeometry, footerBytes, sectorBytes, type VhdType } from './footer.ts'
import { headerBytes, locatorBytes, type LocatorEntry, locatorsOffset } from './header.ts'

/** The 16 bytes of a uuid in text form. */
export function parseUuid(text: string): Uint8Array {
  return Buffer.from(text.replaceAll('-', ''), 'hex')
}

/**
 * The geometry that belongs to a size.
 *
 * @see Virtual Hard Disk Image Format Specification 1.0, "CHS Calculation"
 */
export function geometryOf(sizeBytes: number): DiskGeometry {
  const sectors = Math.min(Math.ceil(sizeBytes / sectorBytes), 65_535 * 16 * 255)
  const shape = (sectorsPerTrack: number, heads: number): DiskGeometry => ({
    cylinders: Math.floor(Math.floor(sectors / sectorsPerTrack) / heads),
    heads,
    sectorsPerTrack,
  })
  if (sectors >= 65_535 * 16 * 63) return shape(255, 16)
  const tracks = Math.floor(sectors / 17)
  const heads = Math.max(4, Math.ceil(tracks / 1024))
  if (heads <= 16 && tracks < heads * 1024) return shape(17, heads)
  return Math.floor(sectors / 31) < 16 * 1024 ? shape(31, 16) : shape(63, 16)
}

/** What the geometry multiplies out to, which is less than or equal to the size. */
export function geometryBytes({ cylinders, heads, sectorsPerTrack }: DiskGeometry): number {
  return cylinders * heads * sectorsPerTrack * sectorBytes
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
  const view = viewOf(bytes)
  const put = (text: string, at: number): void => bytes.set(Buffer.from(text, 'latin1'), at)
  put('conectix', 0)
  view.setUint32(8, 2)
  view.setUint32(12, 0x1_00_00)
  view.setBigUint64(16, init.type === 'fixed' ? 0xff_ff_ff_ff_ff_ff_ff_ffn : BigInt(sectorBytes))
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
  const view = viewOf(bytes)
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
  viewOf(bytes).setUint32(64, checksum(bytes, 64))
  return bytes
}

/** A new disk's header, without a parent. */
export function encodeHeader(init: {
  readonly tableOffset: number
  readonly maximumEntries: number
  readonly blockSizeBytes: number
}): Uint8Array {
  const bytes = new Uint8Array(headerBytes)
  const view = viewOf(bytes)
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
  viewOf(bytes).setUint32(36, checksum(bytes, 36))
  return bytes
}

/** Puts the parent's file name into a header; what does not fit is cut. */
export function writeParentName(header: Uint8Array, name: string): void {
  header.fill(0, 64, locatorsOffset)
  header.set(Buffer.from(name.slice(0, 255), 'utf16le').swap16(), 64)
}

/** Writes one entry into a header that is then sealed again. */
export function writeLocatorEntry(header: Uint8Array, entry: LocatorEntry): void {
  const view = viewOf(header)
  const at = locatorsOffset + entry.index * locatorBytes
  header.set(Buffer.from(entry.platform, 'latin1'), at)
  view.setUint32(at + 4, entry.spaceBytes)
  view.setUint32(at + 8, entry.lengthBytes)
  view.setUint32(at + 12, 0)
  view.setBigUint64(at + 16, BigInt(entry.offset))
}

/** A relative path as the text of a locator. Blanks and percent signs stay: vhd-util wants them verbatim. */
export function encodeLocatorPath(platform: 'MacX' | 'W2ru' | 'W2ku', relativePath: string): Uint8Array {
  const path = relativePath.startsWith('../') ? relativePath : `./${relativePath}`
  if (platform === 'MacX') return Buffer.from(`file://${path}`, 'utf8')
  const windows = path.startsWith('../') ? `./${path}` : path
  return Buffer.from(windows.replaceAll('/', '\\'), 'utf16le')
}

/** A batmap's header for a map behind it. */
export function encodeBatmapHeader(headerOffset: number, map: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(sectorBytes)
  const view = viewOf(bytes)
  bytes.set(Buffer.from('tdbatmap', 'latin1'))
  view.setBigUint64(8, BigInt(headerOffset + sectorBytes))
  view.setUint32(16, map.length / sectorBytes)
  view.setUint32(20, 0x1_00_02)
  view.setUint32(24, checksum(map))
  return bytes
}
