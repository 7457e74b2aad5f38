import { checksum, fields } from './checksum.ts'
import { roundUp, sectorBytes } from './constants.ts'

/** XenServer's table of the blocks whose sectors are all written: a hint that is never trusted. */
export interface Batmap {
  readonly headerOffset: number
  readonly mapOffset: number
  readonly mapBytes: number
  readonly encrypted: boolean
  /** Whether its checksum is right. One that is not is known by its place only. */
  readonly intact: boolean
}

/** Where the table would be, and its fields where one is there. */
export function decodeBatmapHeader(bytes: Uint8Array, headerOffset: number): Batmap | undefined {
  if (Buffer.from(bytes.subarray(0, 8)).toString('latin1') !== 'tdbatmap') return undefined
  const view = fields(bytes)
  const mapOffset = view.getBigUint64(8)
  if (mapOffset > BigInt(Number.MAX_SAFE_INTEGER)) return undefined
  return {
    headerOffset,
    mapOffset: Number(mapOffset),
    mapBytes: view.getUint32(16) * sectorBytes,
    encrypted: bytes[29] === 1,
    intact: false,
  }
}

/** The checksum that a header stores of its map. */
export function storedMapChecksum(header: Uint8Array): number {
  return fields(header).getUint32(24)
}

/** Bytes of the map that the checksum of a disk with so many table entries covers. */
export function batmapBytes(maximumEntries: number): number {
  return Math.max(sectorBytes, roundUp(Math.ceil(maximumEntries / 8), sectorBytes))
}

/** A batmap's header for a map behind it. */
export function encodeBatmapHeader(headerOffset: number, map: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(sectorBytes)
  const view = fields(bytes)
  bytes.set(Buffer.from('tdbatmap', 'latin1'))
  view.setBigUint64(8, BigInt(headerOffset + sectorBytes))
  view.setUint32(16, map.length / sectorBytes)
  view.setUint32(20, 0x1_00_02)
  view.setUint32(24, checksum(map))
  return bytes
}
