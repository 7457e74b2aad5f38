import { fields } from './checksum.ts'
import { sectorBytes } from './constants.ts'

/** Bytes of a header at which its eight locator entries start, and of one entry. */
const entriesOffset = 576
const entryBytes = 24

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

/** Reads the entries that are in use. Where they point is not judged here. */
export function decodeLocatorEntries(header: Uint8Array): LocatorEntry[] {
  const view = fields(header)
  const entries: LocatorEntry[] = []
  for (let index = 0; index < 8; index += 1) {
    const at = entriesOffset + index * entryBytes
    if (view.getUint32(at) === 0) continue
    entries.push({
      index,
      platform: Buffer.from(header.subarray(at, at + 4)).toString('latin1'),
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

/** Writes one entry into a header that is then sealed again. */
export function writeLocatorEntry(header: Uint8Array, entry: LocatorEntry): void {
  const view = fields(header)
  const at = entriesOffset + entry.index * entryBytes
  header.set(Buffer.from(entry.platform, 'latin1'), at)
  view.setUint32(at + 4, entry.spaceBytes)
  view.setUint32(at + 8, entry.lengthBytes)
  view.setUint32(at + 12, 0)
  view.setBigUint64(at + 16, BigInt(entry.offset))
}

/**
 * A locator's text as a path with forward slashes, relative to the child's folder or absolute; `undefined`
 * where it names no file of this machine (other platforms, other drives, network shares).
 */
export function decodeLocatorPath(platform: string, bytes: Uint8Array): string | undefined {
  if (platform === 'MacX') {
    const text = Buffer.from(bytes).toString('utf8').replace(/\0+$/, '')
    return text.startsWith('file://') && text.length > 7 ? text.slice(7) : undefined
  }
  if (platform !== 'W2ru' && platform !== 'W2ku') return undefined
  const text = Buffer.from(bytes.subarray(0, bytes.length - (bytes.length % 2))).toString('utf16le')
  const path = text.replace(/\0+$/, '').replace(/^[Cc]:(?=\\)/, '')
  if (path === '' || /^[A-Za-z]:/.test(path) || path.startsWith('\\\\')) return undefined
  return path.replaceAll('\\', '/')
}

/** A relative path as the text of a locator. Blanks and percent signs stay: vhd-util wants them verbatim. */
export function encodeLocatorPath(platform: 'MacX' | 'W2ru' | 'W2ku', relativePath: string): Uint8Array {
  const path = relativePath.startsWith('../') ? relativePath : `./${relativePath}`
  if (platform === 'MacX') return Buffer.from(`file://${path}`, 'utf8')
  const windows = path.startsWith('../') ? `./${path}` : path
  return Buffer.from(windows.replaceAll('/', '\\'), 'utf16le')
}
