import { deflateSync } from 'node:zlib'

const sector = 512
export const zeroFlag = 4
export const streamFlags = 0x30001
const atEnd = 0xffffffffffffffffn

/** What a VMDK by hand is made of; places are in sectors. */
export interface VmdkParts {
  readonly flags?: number
  readonly version?: number
  readonly capacity?: number
  readonly grain?: number
  readonly tableEntries?: number
  readonly compression?: number
  readonly directory?: number
  /** Of a stream: whether each table follows its grains. */
  readonly isInterleaved?: boolean
  readonly descriptor?: string
  /** Whole image in sectors. */
  readonly sectors?: number
  /** Bytes by sector. */
  readonly at?: Readonly<Record<number, Uint8Array>>
}

/** A descriptor as VMware writes it. */
export function descriptor(
  createType = 'monolithicSparse',
  more = '',
  extent = 'RW 64 SPARSE "disk.vmdk"',
): string {
  const lines = [
    '# Disk DescriptorFile',
    'version=1',
    'CID=fffffffe',
    'parentCID=ffffffff',
    `createType="${createType}"`,
  ]
  lines.push(
    '',
    '# Extent description',
    extent,
    more,
    '# The Disk Data Base',
    '#DDB',
    '',
    'ddb.adapterType = "ide"',
    '',
  )
  return lines.join('\n')
}

/** Little-endian numbers of 32 bits. */
export function words(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer)
}

function header(parts: VmdkParts, directory: bigint): Uint8Array {
  const view = new DataView(new ArrayBuffer(sector))
  view.setUint32(0, 0x4b444d56)
  view.setUint32(4, parts.version ?? 1, true)
  view.setUint32(8, parts.flags ?? 1, true)
  view.setBigUint64(12, BigInt(parts.capacity ?? 64), true)
  view.setBigUint64(20, BigInt(parts.grain ?? 8), true)
  view.setBigUint64(28, 1n, true)
  view.setBigUint64(36, 2n, true)
  view.setUint32(44, parts.tableEntries ?? 4, true)
  view.setBigUint64(56, directory, true)
  view.setBigUint64(64, 6n, true)
  for (const [index, byte] of [0x0a, 0x20, 0x0d, 0x0a].entries()) view.setUint8(73 + index, byte)
  view.setUint16(77, parts.compression ?? ((parts.flags ?? 1) === streamFlags ? 1 : 0), true)
  return new Uint8Array(view.buffer)
}

/** A sparse extent: header, descriptor in sectors 1 and 2, and what `at` says. The directory is in sector 3. */
export function buildVmdk(parts: VmdkParts = {}): Uint8Array {
  const bytes = new Uint8Array((parts.sectors ?? 40) * sector)
  bytes.set(header(parts, BigInt(parts.directory ?? 3)))
  bytes.set(Buffer.from(parts.descriptor ?? descriptor()), sector)
  for (const [place, content] of Object.entries(parts.at ?? {})) bytes.set(content, Number(place) * sector)
  return bytes
}

/** A grain as a stream has it: marker and compressed data, in whole sectors. */
export function grainRecord(
  lba: number,
  content: Uint8Array,
  data: Uint8Array = deflateSync(content),
): Uint8Array {
  const record = new Uint8Array(Math.ceil((12 + data.length) / sector) * sector)
  const view = new DataView(record.buffer)
  view.setBigUint64(0, BigInt(lba), true)
  view.setUint32(8, data.length, true)
  record.set(data, 12)
  return record
}

function marker(sectors: number, type: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(sector))
  view.setBigUint64(0, BigInt(sectors), true)
  view.setUint32(12, type, true)
  return new Uint8Array(view.buffer)
}

/**
 * A streamOptimized image as VMware exports it: grains first, tables behind them, then the directory, the footer and
 * the end marker.
 *
 * @param grains content by number of the grain, in the order of the file
 */
export function buildVmwareStream(
  grains: readonly (readonly [number, Uint8Array])[],
  parts: VmdkParts = {},
): Uint8Array {
  const { capacity = 64, grain = 8, tableEntries = 4 } = parts
  const all = { flags: streamFlags, descriptor: descriptor('streamOptimized'), version: 3, ...parts }
  const pieces: Uint8Array[] = []
  let place = 6
  const put = (piece: Uint8Array): number => {
    const start = place
    pieces.push(piece)
    place += piece.length / sector
    return start
  }
  const entries = new Map<number, number>()
  const putGrains = (of: (number: number) => boolean): void => {
    for (const [number, content] of grains) {
      if (of(number)) entries.set(number, put(grainRecord(number * grain, content)))
    }
  }
  if (parts.isInterleaved !== true) putGrains(() => true)
  const tables = Array.from({ length: Math.ceil(capacity / (grain * tableEntries)) }, (_, table) => {
    if (parts.isInterleaved === true) putGrains((number) => Math.floor(number / tableEntries) === table)
    const own = Array.from(
      { length: tableEntries },
      (_, index) => entries.get(table * tableEntries + index) ?? 0,
    )
    if (own.every((entry) => entry === 0)) return 0
    put(marker(1, 1))
    return put(pad(words(...own)))
  })
  put(marker(1, 2))
  const directory = put(pad(words(...tables)))
  put(marker(1, 3))
  put(header(all, BigInt(directory)))
  put(marker(0, 0))
  const head = buildVmdk({ ...all, sectors: 6 })
  head.set(header(all, atEnd))
  return Buffer.concat([head, ...pieces])
}

function pad(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(Math.ceil(bytes.length / sector) * sector)
  padded.set(bytes)
  return padded
}
