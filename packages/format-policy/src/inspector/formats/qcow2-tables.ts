import {
  checkBitmaps,
  compressedHigh,
  compressedOffsetBits,
  entryOffset,
  entryOffsetHigh,
  Fields,
  hex,
  luks1Bytes,
  l1ReservedHigh,
  mostSnapshots,
  Problems,
  type Qcow2Layout,
  viewOf,
  zeroLow,
} from '@disk-image/disk/layouts'
import type { Report } from '../result.ts'
import { type ImageEnd, piecesOf, read, scan, type Steps } from '../engine/steps.ts'
import { problemOfLuks1 } from './luks.ts'
import { walkSnapshots } from './qcow2-snapshots.ts'

/** L2 tables that are looked into; 32768 of them span 16 TiB with clusters of 64 KiB. */
const mostTables = 32768
/** Bytes of L2 tables that are looked into; larger clusters span more with fewer of them. */
const mostTableBytes = 2 * 1024 ** 3

/** The host range that reaches furthest, and the table entry that names it. */
export interface Furthest {
  /** Bytes that the file must have at least. */
  end: number
  what: string
  /** Where the entry stands. */
  entryOffset: number
  /** Clusters that the L2 tables name. */
  clusters: number
  compressedClusters: number
}

/**
 * Goes over the active L1 table, the L2 tables that lie behind it and the snapshot table, for entries that no
 * healthy image has and for the furthest place that they name.
 */
export function* walkTables(layout: Qcow2Layout, report: Report): Steps<Furthest> {
  const furthest: Furthest = {
    end: 0,
    what: 'header',
    entryOffset: 0,
    clusters: 0,
    compressedClusters: 0,
  }
  const sane =
    layout.clusterSize > 0 &&
    layout.l1Entries * 8 <= 32 * 1024 ** 2 &&
    layout.l1Offset > 0n &&
    layout.l1Offset < 1n << 52n
  const start = Number(layout.l1Offset)
  // In ascending order, because a stream goes by once.
  const others = otherStructures(layout, report)
  yield* walkBefore(others, sane ? start : Infinity)
  if (!sane) return furthest
  const most = Math.min(mostTables, mostTableBytes / layout.clusterSize)
  const tables = new Float64Array(Math.min(layout.l1Entries, most))
  let count = 0
  const withinCluster = layout.clusterSize - 1
  yield* scan(start, layout.l1Entries * 8, (piece, at) => {
    const view = viewOf(piece)
    for (let entry = 0; entry + 8 <= piece.length; entry += 8) {
      const high = view.getUint32(entry)
      const low = view.getUint32(entry + 4)
      if (high === 0 && low === 0) continue
      const offset = entryOffset(high, low)
      if ((high & l1ReservedHigh) !== 0 || (low & withinCluster) !== 0 || offset === 0) {
        invalidEntry(report, 'L1', at + entry, high, low)
        continue
      }
      reach(furthest, offset + layout.clusterSize, 'L2 table', at + entry)
      if (count < tables.length) tables[count++] = offset
    }
  })
  const found = tables.subarray(0, count).sort()
  let before = -1
  for (const [index, offset] of found.entries()) {
    yield* walkBefore(others, offset)
    // Two L1 entries with one L2 table: no program writes that, and writing through it would corrupt.
    if (offset === before) {
      const high = Math.floor(offset / 2 ** 32)
      invalidEntry(report, 'L1 (shared L2 table)', start, high, offset % 2 ** 32)
    } else yield* walkL2(found, index, layout, report, furthest)
    before = offset
  }
  yield* walkBefore(others, Infinity)
  return furthest
}

/** Something that is not reached by the L1 table. */
interface Structure {
  readonly offset: number
  readonly walk: () => Steps<void>
}

/** Goes over those that come before an offset, and takes them off the list. */
function* walkBefore(structures: Structure[], offset: number): Steps<void> {
  while ((structures[0]?.offset ?? Infinity) < offset) yield* structures.shift()?.walk() ?? []
}

function otherStructures(layout: Qcow2Layout, report: Report): Structure[] {
  const { luks, bitmaps } = layout
  const found: Structure[] = []
  const snapshots = snapshotsPlace(layout)
  if (snapshots < Infinity) found.push({ offset: snapshots, walk: () => walkSnapshots(layout, report) })
  if (luks !== undefined && luks.offset < 1n << 52n) {
    const offset = Number(luks.offset)
    found.push({ offset, walk: () => lookAtLuks(offset, report) })
  }
  if (bitmaps !== undefined && layout.clusterSize > 0) {
    found.push({ offset: bitmaps.offset, walk: () => walkBitmaps(layout, report) })
  }
  return found.sort((a, b) => a.offset - b.offset)
}

function* walkBitmaps(layout: Qcow2Layout, report: Report): Steps<void> {
  if (layout.bitmaps === undefined) return
  const { offset, bytes } = layout.bitmaps
  const problems = new Problems('qcow2')
  checkBitmaps(yield* read(offset, bytes), layout.bitmaps, layout, problems)
  report.failAll(problems.list)
}

/** The header of an encrypted image is one of LUKS 1. */
function* lookAtLuks(offset: number, report: Report): Steps<void> {
  const problem = problemOfLuks1(new Fields((yield* read(offset, luks1Bytes)) ?? new Uint8Array(0)))
  if (problem === undefined) return
  const { reason, found, accepted } = problem
  report.fail('encryption', { reason, found, accepted, offset: offset + (problem.offset ?? 0) })
}

/** Where the snapshot table is; infinitely far where there is none, or none that can be looked at. */
function snapshotsPlace({ snapshotCount, snapshotsOffset, clusterSize }: Qcow2Layout): number {
  if (snapshotCount === 0 || snapshotCount > mostSnapshots || clusterSize === 0) return Infinity
  const possible = snapshotsOffset > 0n && snapshotsOffset < 1n << 52n
  return possible && snapshotsOffset % BigInt(clusterSize) === 0n ? Number(snapshotsOffset) : Infinity
}

/** Looks into one of the L2 tables; those behind it come next. */
function* walkL2(
  tables: Float64Array,
  index: number,
  layout: Qcow2Layout,
  report: Report,
  furthest: Furthest,
): Steps<void> {
  if (layout.hasDataFile) return
  const length = layout.clusterSize
  const first = index + 1
  const then = piecesOf(tables.length - first, length, (nth) => tables[first + nth] ?? 0)
  const visit = (piece: Uint8Array, at: number): void => lookAtL2(piece, at, layout, report, furthest)
  yield* scan(tables[index] ?? 0, length, visit, then)
}

/**
 * Millions of entries go through here. The furthest cluster of a piece is kept in 32-bit halves, which is
 * twice as fast as whole offsets; most clusters follow the one before them, and a look at that is faster again.
 */
function lookAtL2(
  piece: Uint8Array,
  at: number,
  layout: Qcow2Layout,
  report: Report,
  furthest: Furthest,
): void {
  const view = viewOf(piece)
  // Told that this is a whole number of 32 bits, the engine adds three times as fast.
  const clusterSize = layout.clusterSize | 0
  const step = layout.extendedL2 ? 16 : 8
  const last = piece.length - step
  const compressedHighMask = 2 ** (compressedOffsetBits(layout.clusterBits) - 32) - 1
  // Bits 0 to 8 are flags; the rest of what is within a cluster must be zero.
  const withinCluster = (clusterSize - 1) & ~0x1ff
  let mostHigh = 0
  let mostLow = 0
  let most = -1
  let named = 0
  for (let entry = 0; entry <= last; entry += step) {
    const high = view.getInt32(entry)
    let low = view.getInt32(entry + 4)
    if ((high | low) === 0) continue
    if ((high & compressedHigh) !== 0) {
      const start = (high & compressedHighMask) * 2 ** 32 + (low >>> 0)
      furthest.compressedClusters += 1
      reach(furthest, start + 1, 'compressed cluster', at + entry)
      continue
    }
    const offsetHigh = high & entryOffsetHigh
    if ((low & withinCluster) !== 0 || (high < 0 && (offsetHigh | (low >>> 9)) === 0)) {
      invalidEntry(report, 'L2', at + entry, high, low)
      continue
    }
    // A cluster that reads as zeros need not be there.
    if ((low & zeroLow) !== 0) continue
    const first = entry
    for (let next = entry + step; next <= last; next += step) {
      const following = (low + clusterSize) | 0
      // At 4 GiB the upper half changes too.
      if (following >>> 9 === 0 || view.getInt32(next + 4) !== following || view.getInt32(next) !== high)
        break
      low = following
      entry = next
    }
    named += (entry - first) / step + 1
    if (offsetHigh > mostHigh || (offsetHigh === mostHigh && low >>> 9 > mostLow)) {
      mostHigh = offsetHigh
      mostLow = low >>> 9
      most = entry
    }
  }
  furthest.clusters += named
  if (most >= 0) reach(furthest, mostHigh * 2 ** 32 + mostLow * 512 + 1, 'cluster', at + most)
}

/** What the length of the file, known only at its end, says about offsets in header and tables. */
export function checkAgainstLength(
  layout: Qcow2Layout,
  furthest: Furthest,
  end: ImageEnd,
  report: Report,
): void {
  const size = BigInt(end.sizeBytes)
  const outside = (what: string, offset: number, place: bigint): void =>
    report.fail('truncated', {
      reason: `The ${what} lies behind the end of the file, so a part of the disk is missing`,
      offset,
      found: hex(place),
      accepted: `below ${hex(size)}`,
    })
  if (layout.l1Entries > 0 && layout.l1Offset + BigInt(layout.l1Entries) * 8n > size) {
    outside('L1 table', 40, layout.l1Offset)
  } else if (layout.refcountTableOffset >= size) {
    outside('reference count table', 48, layout.refcountTableOffset)
  } else if (layout.snapshotCount > 0 && layout.snapshotsOffset + BigInt(layout.snapshotCount) * 40n > size) {
    outside('snapshot table', 64, layout.snapshotsOffset)
  } else if (furthest.end > end.sizeBytes) {
    outside(furthest.what, furthest.entryOffset, BigInt(furthest.end))
  }
}

function reach(furthest: Furthest, end: number, what: string, entryOffset: number): void {
  if (end <= furthest.end) return
  furthest.end = end
  furthest.what = what
  furthest.entryOffset = entryOffset
}

function invalidEntry(report: Report, table: string, offset: number, high: number, low: number): void {
  if (report.hasFailed('tables')) return
  report.fail('tables', {
    reason: `An entry of the ${table} table is not one that the format allows`,
    offset,
    found: `0x${(high >>> 0).toString(16).padStart(8, '0')}${(low >>> 0).toString(16).padStart(8, '0')}`,
    accepted: 'zero, or the place of a cluster',
  })
}
