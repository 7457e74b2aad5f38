import { crc32c } from '../crc32c.ts'
import { type Fields, sameBytes, hex } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'

const KiB = 1024
const MiB = 1024 ** 2
const regionTableBytes = 64 * KiB
const mostRegions = 2047

/** Identities in the byte order of the file. */
const batRegion = '6677c22d23f600429d64115e9bfd4a08'
const metadataRegion = '06a27c8b90479a4bb8fe575f050f886e'

/** A range that a region table names. */
export interface VhdxRegion {
  readonly offset: bigint
  readonly length: number
}

/** The regions that every VHDX has. */
export interface VhdxRegions {
  readonly bat: VhdxRegion
  readonly metadata: VhdxRegion
  /** Every named region and the log, for the comparison with the file's length. */
  readonly all: readonly VhdxRegion[]
}

/**
 * Checks the two headers and the region table.
 *
 * @see Microsoft, [MS-VHDX], 2.2 "Header Section"
 */
export function readVhdxRegions(head: Fields, report: Report): VhdxRegions | undefined {
  const log = checkHeaders(head, report)
  const places = [192 * KiB, 256 * KiB]
  const [first, second] = places.map((at) => head.bytes.subarray(at, at + regionTableBytes))
  const differ = first === undefined || second === undefined || !sameBytes(first, second)
  const table = readRegionTable(head, 192 * KiB, report)
  const tables = [table, differ ? readRegionTable(head, 256 * KiB, report) : table]
  const regions = tables[0] ?? tables[1]
  if (regions === undefined) {
    report.fail('header', {
      reason: 'Neither region table is whole',
      offset: 192 * KiB,
      found: 'wrong signature, count or checksum',
      accepted: 'a region table',
    })
    return undefined
  }
  // Readers differ in which of the two copies they take, so both must be whole.
  for (const [index, at] of places.entries()) {
    if (tables[index] === undefined) {
      const finding = {
        offset: at,
        found: 'wrong signature, count or checksum',
        accepted: 'two equal tables',
      }
      report.fail('header', { reason: 'One of the two region tables is damaged', ...finding })
    }
  }
  if (differ) {
    report.fail('header', {
      reason: 'The two region tables differ, so readers would see different disks',
      offset: 256 * KiB,
      found: 'another table',
      accepted: 'two equal tables',
    })
  }
  const all = log === undefined ? regions.all : [...regions.all, log]
  checkOverlaps(all, report)
  return { ...regions, all }
}

/** Every region has its place for itself. */
function checkOverlaps(all: readonly VhdxRegion[], report: Report): void {
  const sorted = all.filter(({ length }) => length > 0).sort((a, b) => (a.offset < b.offset ? -1 : 1))
  let before: VhdxRegion | undefined
  for (const region of sorted) {
    if (before !== undefined && before.offset + BigInt(before.length) > region.offset) {
      report.fail('header', {
        reason: 'Two regions overlap, or one of them the log',
        offset: 192 * KiB,
        found: `${before.length} bytes at ${hex(before.offset)}, and ${region.length} at ${hex(region.offset)}`,
        accepted: 'regions that lie side by side',
      })
      return
    }
    before = region
  }
}

/** The current header is the one with the higher sequence number of those that are whole. */
function checkHeaders(head: Fields, report: Report): VhdxRegion | undefined {
  const whole = [64 * KiB, 128 * KiB].filter(
    (at) =>
      head.has(at, 'head') &&
      crc32c(head.bytes.subarray(at, at + 4 * KiB), 4) === head.u32le(at + 4) &&
      head.u16le(at + 66) === 1,
  )
  const [first, second] = whole
  if (first === undefined) {
    report.fail('header', {
      reason: 'Neither of the two headers is whole',
      offset: 64 * KiB,
      found: 'wrong signature, version or checksum',
      accepted: 'a header of version 1',
    })
    return undefined
  }
  const [one, other] = whole.map((at) => head.bytes.subarray(at, at + 4 * KiB))
  const same = second !== undefined && head.u64le(second + 8) === head.u64le(first + 8)
  if (same && one !== undefined && other !== undefined && !sameBytes(one, other)) {
    report.fail('header', {
      reason: 'The two headers differ and have the same sequence number, so neither is the current one',
      offset: 128 * KiB,
      found: `sequence number ${head.u64le(first + 8)} twice`,
      accepted: 'two numbers, or two equal headers',
    })
  }
  const current = second !== undefined && head.u64le(second + 8) > head.u64le(first + 8) ? second : first
  report.details.version = head.u16le(current + 66)
  if (head.u16le(current + 64) !== 0) {
    report.fail('header', {
      reason: 'The version of the log is not known',
      offset: current + 64,
      found: `${head.u16le(current + 64)}`,
      accepted: '0',
    })
  }
  if (!head.isZero(current + 48, 16)) {
    report.fail('clean', {
      reason: 'The log may hold changes that are not yet in their place: the image was not closed',
      offset: current + 48,
      found: 'a log identity',
      accepted: 'an image that its program has closed',
    })
  }
  const log = { offset: head.u64le(current + 72), length: head.u32le(current + 68) }
  if (log.length % MiB !== 0 || log.offset % BigInt(MiB) !== 0n || (log.length > 0 && log.offset === 0n)) {
    report.fail('header', {
      reason: 'The log is not where it can be',
      offset: current + 68,
      found: `${log.length} bytes at ${hex(log.offset)}`,
      accepted: 'multiples of 1 MiB',
    })
  }
  return log
}

type Regions = Omit<VhdxRegions, 'bat' | 'metadata'> & {
  readonly bat: VhdxRegion
  readonly metadata: VhdxRegion
}

function readRegionTable(head: Fields, at: number, report: Report): Regions | undefined {
  const count = head.u32le(at + 8)
  const table = head.bytes.subarray(at, at + regionTableBytes)
  const whole =
    head.has(at, 'regi') &&
    count <= mostRegions &&
    table.length === regionTableBytes &&
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
      report.fail('features', {
        reason: 'The image needs a region that is not known',
        offset: entry,
        found: identity,
        accepted: 'block allocation table and metadata',
      })
    }
    if (region.offset < BigInt(MiB) || region.offset % BigInt(MiB) !== 0n || region.length % MiB !== 0) {
      report.fail('header', {
        reason: 'A region is not where it can be',
        offset: entry + 16,
        found: `${region.length} bytes at ${hex(region.offset)}`,
        accepted: 'multiples of 1 MiB',
      })
    }
  }
  if (bat === undefined || metadata === undefined) {
    report.fail('header', {
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
