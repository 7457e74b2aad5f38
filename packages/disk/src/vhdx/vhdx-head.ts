import { KiB, MiB, type Refusal } from '@disk-image/core'
import { Fields, sameBytes } from '../layouts/fields.ts'
import { hex } from '../layouts/printable.ts'
import { Problems } from '../layouts/problems.ts'
import { crc32c } from './crc32c.ts'

const headerOffsets = [64 * KiB, 128 * KiB] as const
const tableOffsets = [192 * KiB, 256 * KiB] as const
const headerBytes = 4 * KiB
const tableBytes = 64 * KiB
const mostRegions = 2047

/** Bytes from the start that have the headers and region tables. */
export const vhdxHeadBytes: number = 320 * KiB

/** Identities in the byte order of the file. */
export const batRegion = '6677c22d23f600429d64115e9bfd4a08'
export const metadataRegion = '06a27c8b90479a4bb8fe575f050f886e'

/** A range that a region table names. */
export interface VhdxRegion {
  readonly offset: bigint
  readonly length: number
}

/** The regions that every VHDX has. */
export interface VhdxRegions {
  readonly bat: VhdxRegion
  readonly metadata: VhdxRegion
  /** Every named region and the log. */
  readonly all: readonly VhdxRegion[]
}

/** What the headers and region tables say. */
export interface VhdxHead {
  /** Of the current header; undefined where neither is whole. */
  readonly version: number | undefined
  /** Undefined where neither table is whole. */
  readonly regions: VhdxRegions | undefined
  readonly problems: readonly Refusal[]
}

/**
 * Parses the two headers and the two region tables, which are the first {@link vhdxHeadBytes}.
 *
 * @see Microsoft, [MS-VHDX], 2.2 "Header Section"
 */
export function parseVhdxHead(bytes: Uint8Array): VhdxHead {
  const head = new Fields(bytes)
  const problems = new Problems('vhdx')
  const header = parseHeaders(head, problems)
  const tables = parseTables(head, problems)
  if (tables === undefined) return { version: header?.version, regions: undefined, problems: problems.list }
  const all = header === undefined ? tables.all : [...tables.all, header.log]
  checkOverlaps(all, problems)
  return { version: header?.version, regions: { ...tables, all }, problems: problems.list }
}

/** Readers differ in which of the two copies they take, so both must be whole, and equal. */
function parseTables(head: Fields, problems: Problems): VhdxRegions | undefined {
  const wrong = (reason: string, offset: number, found: string, accepted: string): void =>
    problems.add('header', { reason, offset, found, accepted })
  const [first, second] = tableOffsets
  const bytesOf = (at: number): Uint8Array => head.bytes.subarray(at, at + tableBytes)
  const differ = !sameBytes(bytesOf(first), bytesOf(second))
  const table = parseTable(head, first, problems)
  const tables = [table, differ ? parseTable(head, second, problems) : table]
  const regions = tables[0] ?? tables[1]
  const damage = 'wrong signature, count or checksum'
  if (regions === undefined) {
    wrong('Neither region table is whole', first, damage, 'a region table')
    return undefined
  }
  for (const [index, at] of tableOffsets.entries()) {
    if (tables[index] === undefined) {
      wrong('One of the two region tables is damaged', at, damage, 'two equal tables')
    }
  }
  if (differ) {
    const reason = 'The two region tables differ, so readers would see different disks'
    wrong(reason, second, 'another table', 'two equal tables')
  }
  return regions
}

/** Every region has its place for itself. */
function checkOverlaps(all: readonly VhdxRegion[], problems: Problems): void {
  const sorted = all.filter(({ length }) => length > 0).sort((a, b) => (a.offset < b.offset ? -1 : 1))
  let before: VhdxRegion | undefined
  for (const region of sorted) {
    if (before !== undefined && before.offset + BigInt(before.length) > region.offset) {
      problems.add('header', {
        reason: 'Two regions overlap, or one of them the log',
        offset: tableOffsets[0],
        found: `${before.length} bytes at ${hex(before.offset)}, and ${region.length} at ${hex(region.offset)}`,
        accepted: 'regions that lie side by side',
      })
      return
    }
    before = region
  }
}

/** The current header is the one with the higher sequence number of those that are whole. */
function parseHeaders(
  head: Fields,
  problems: Problems,
): { readonly version: number; readonly log: VhdxRegion } | undefined {
  const whole = headerOffsets.filter(
    (at) =>
      head.has(at, 'head') &&
      crc32c(head.bytes.subarray(at, at + headerBytes), 4) === head.u32le(at + 4) &&
      head.u16le(at + 66) === 1,
  )
  const [first, second] = whole
  if (first === undefined) {
    problems.add('header', {
      reason: 'Neither of the two headers is whole',
      offset: headerOffsets[0],
      found: 'wrong signature, version or checksum',
      accepted: 'a header of version 1',
    })
    return undefined
  }
  const [one, other] = whole.map((at) => head.bytes.subarray(at, at + headerBytes))
  const same = second !== undefined && head.u64le(second + 8) === head.u64le(first + 8)
  if (same && one !== undefined && other !== undefined && !sameBytes(one, other)) {
    problems.add('header', {
      reason: 'The two headers differ and have the same sequence number, so neither is the current one',
      offset: headerOffsets[1],
      found: `sequence number ${head.u64le(first + 8)} twice`,
      accepted: 'two numbers, or two equal headers',
    })
  }
  const current = second !== undefined && head.u64le(second + 8) > head.u64le(first + 8) ? second : first
  const log = parseLog(head, current, problems)
  return { version: head.u16le(current + 66), log }
}

function parseLog(head: Fields, current: number, problems: Problems): VhdxRegion {
  const version = head.u16le(current + 64)
  if (version !== 0) {
    problems.add('header', {
      reason: 'The version of the log is not known',
      offset: current + 64,
      found: `${version}`,
      accepted: '0',
    })
  }
  if (!head.isZero(current + 48, 16)) {
    problems.add('clean', {
      reason: 'The log may hold changes that are not yet in their place: the image was not closed',
      offset: current + 48,
      found: 'a log identity',
      accepted:
        'an image that its program has closed (attach it once, or `qemu-img check -r all` of a trusted one)',
    })
  }
  const log = { offset: head.u64le(current + 72), length: head.u32le(current + 68) }
  if (log.length % MiB !== 0 || log.offset % BigInt(MiB) !== 0n || (log.length > 0 && log.offset === 0n)) {
    problems.add('header', {
      reason: 'The log is not where it can be',
      offset: current + 68,
      found: `${log.length} bytes at ${hex(log.offset)}`,
      accepted: 'multiples of 1 MiB',
    })
  }
  return log
}

function parseTable(head: Fields, at: number, problems: Problems): VhdxRegions | undefined {
  const count = head.u32le(at + 8)
  const table = head.bytes.subarray(at, at + tableBytes)
  const whole =
    head.has(at, 'regi') &&
    count <= mostRegions &&
    table.length === tableBytes &&
    crc32c(table, 4) === head.u32le(at + 4)
  if (!whole) return undefined
  const all: VhdxRegion[] = []
  let bat: VhdxRegion | undefined
  let metadata: VhdxRegion | undefined
  for (let index = 0; index < count; index += 1) {
    const entry = at + 16 + index * 32
    const identity = identityAt(head, entry)
    const region = { offset: head.u64le(entry + 16), length: head.u32le(entry + 24) }
    all.push(region)
    if (identity === batRegion) bat ??= region
    else if (identity === metadataRegion) metadata ??= region
    else if ((head.u32le(entry + 28) & 1) === 1) {
      problems.add('features', {
        reason: 'The image needs a region that is not known',
        offset: entry,
        found: identity,
        accepted: 'block allocation table and metadata',
      })
    }
    if (region.offset < BigInt(MiB) || region.offset % BigInt(MiB) !== 0n || region.length % MiB !== 0) {
      problems.add('header', {
        reason: 'A region is not where it can be',
        offset: entry + 16,
        found: `${region.length} bytes at ${hex(region.offset)}`,
        accepted: 'multiples of 1 MiB',
      })
    }
  }
  if (bat === undefined || metadata === undefined) {
    problems.add('header', {
      reason: 'The region table lacks the block allocation table or the metadata',
      offset: at + 8,
      found: `${count} regions`,
      accepted: 'both',
    })
    return undefined
  }
  return { bat, metadata, all }
}

/** Sixteen bytes as hexadecimal, in the order of the file. */
export function identityAt(fields: Fields, at: number): string {
  let text = ''
  for (let index = 0; index < 16; index += 1)
    text += fields
      .u8(at + index)
      .toString(16)
      .padStart(2, '0')
  return text
}
