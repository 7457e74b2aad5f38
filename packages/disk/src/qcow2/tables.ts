import { refuseQcow2 } from '../errors.ts'
import {
  compressedHigh,
  compressedOffsetBits,
  entryOffset,
  l1ReservedHigh,
  zeroLow,
  bytesPerL2Table,
  type Qcow2Layout,
  usedL1Entries,
} from './layout.ts'

/** What an L2 entry says of one guest cluster. */
export interface ClusterEntry {
  /** `zero` reads as zero, whether or not a host cluster is allocated for it. */
  readonly kind: 'unallocated' | 'zero' | 'normal' | 'compressed'
  /** Where its host cluster or compressed data begins; 0: it has none. */
  readonly hostOffset: number
  /** Host bytes that belong to it. */
  readonly hostLength: number
}

/** Takes what a table tells of, in the order of the disk. */
export interface TableVisitor {
  /**
   * Some neighbouring guest clusters that are alike: either none has anything in the file, or each is there right
   * behind the one before. Compressed ones come one by one.
   */
  clusters(first: ClusterEntry, count: number): void
  /**
   * Neighbouring bytes of the disk that are stored alike: whole clusters, or subclusters where there are some. The last
   * ones may lie behind the disk's end. Without a gap from one to the next.
   *
   * @param hostOffset where they are in the file, as many bytes; or where the compressed data begins
   * @param hostLength bytes of the file, 0 for what is not stored
   */
  range(
    kind: ClusterEntry['kind'],
    guestOffset: number,
    length: number,
    hostOffset: number,
    hostLength: number,
  ): void
}

const unallocated: ClusterEntry = Object.freeze({ kind: 'unallocated', hostOffset: 0, hostLength: 0 })
const zero: ClusterEntry = Object.freeze({ kind: 'zero', hostOffset: 0, hostLength: 0 })

const copiedFlag = 0x80000000
const l1ReservedLow = 0x000001ff
const l2Reserved = { high: 0x3f000000, low: 0x000001fe }
const subclusters = 32
const allSubclusters = 0xffffffff

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * Offsets of the active L2 tables, 0 where there is none.
 *
 * @throws {Qcow2DecodeError} on reserved bits, misplaced tables, and entries behind the virtual size
 */
export function parseL1Table(bytes: Uint8Array, layout: Qcow2Layout): Float64Array {
  const view = viewOf(bytes)
  const used = usedL1Entries(layout)
  const offsets = new Float64Array(used)
  for (let index = 0; index < layout.l1Entries; index += 1) {
    const upper = view.getUint32(index * 8)
    const lower = view.getUint32(index * 8 + 4)
    const place = Number(layout.l1Offset) + index * 8
    if ((upper & l1ReservedHigh) !== 0 || (lower & l1ReservedLow) !== 0) {
      refuseQcow2('qcow2-entry-reserved-bits', 'an L1 entry has reserved bits set', place)
    }
    const offset = entryOffset(upper, lower)
    if (offset === 0) {
      if (upper !== 0) refuseQcow2('qcow2-entry-reserved-bits', 'an empty L1 entry has a flag', place)
      continue
    }
    if (index >= used)
      refuseQcow2('qcow2-beyond-virtual-size', 'an L1 entry lies behind the virtual size', place)
    if (offset > Number.MAX_SAFE_INTEGER - layout.clusterSize) {
      refuseQcow2('qcow2-table-outside-file', 'an L2 table lies outside the file', place)
    }
    if (offset % layout.clusterSize !== 0) {
      refuseQcow2('qcow2-entry-misaligned', 'an L2 table is not on a cluster boundary', place)
    }
    offsets[index] = offset
  }
  return offsets
}

/** Parts of the disk that have no L2 table. */
export function* missingRanges(
  l1: Float64Array,
  layout: Qcow2Layout,
): Generator<readonly [offset: number, length: number]> {
  const perTable = bytesPerL2Table(layout)
  for (let index = 0; index < l1.length; index += 1) {
    const first = index
    while (index < l1.length && l1[index] === 0) index += 1
    const end = Math.min(index * perTable, layout.sizeBytes)
    if (index > first) yield [first * perTable, end - first * perTable]
  }
}

/**
 * Visits a table's guest clusters. A table has thousands of entries and is mostly looked at once, by code that the
 * engine has not compiled yet: so what can be is told of many at once.
 *
 * @param tableIndex of the table in the L1 table
 * @param first entry, and how many @default all
 * @throws {Qcow2DecodeError} on damaged entries, and on entries behind the virtual size
 */
export function visitL2Table(
  bytes: Uint8Array,
  layout: Qcow2Layout,
  tableIndex: number,
  tableOffset: number,
  visitor: TableVisitor,
  first: number = 0,
  most: number = Infinity,
): void {
  const view = viewOf(bytes)
  const { clusterSize } = layout
  const entryBytes = layout.extendedL2 ? 16 : 8
  const entries = Math.min(clusterSize / entryBytes, first + most)
  const guestStart = tableIndex * bytesPerL2Table(layout)
  const inside = Math.min(entries, Math.ceil((layout.sizeBytes - guestStart) / clusterSize))
  for (let index = first; index < entries;) {
    const at = index * entryBytes
    const entry = parseL2Entry(view.getUint32(at), view.getUint32(at + 4), layout, tableOffset + at)
    if (index >= inside && entry.kind !== 'unallocated') {
      refuseQcow2('qcow2-beyond-virtual-size', 'a cluster lies behind the virtual size', tableOffset + at)
    }
    const guestOffset = guestStart + index * clusterSize
    if (layout.extendedL2) {
      if (index < inside) visitSubclusters(view, at, entry, layout, guestOffset, tableOffset + at, visitor)
      index += 1
      continue
    }
    const count = countAlike(view, index, index < inside ? inside : entries, entry, clusterSize)
    if (index < inside) {
      visitor.clusters(entry, count)
      const length = count * clusterSize
      const hostLength = entry.kind === 'normal' ? length : entry.kind === 'compressed' ? entry.hostLength : 0
      visitor.range(entry.kind, guestOffset, length, entry.hostOffset, hostLength)
    }
    index += count
  }
}

/** @see https://www.qemu.org/docs/master/interop/qcow2.html, "Extended L2 Entries" */
function visitSubclusters(
  view: DataView,
  at: number,
  entry: ClusterEntry,
  { clusterSize }: Qcow2Layout,
  guestOffset: number,
  place: number,
  visitor: TableVisitor,
): void {
  const { kind, hostOffset, hostLength } = entry
  const zeroed = view.getUint32(at + 8)
  const stored = view.getUint32(at + 12)
  // The whole cluster's mark for zero has no place here, and a compressed one has no parts.
  if (kind === 'zero' || (zeroed & stored) !== 0 || (kind !== 'normal' && stored !== 0)) {
    refuseQcow2('qcow2-subclusters', 'the subclusters of an L2 entry contradict it', place)
  }
  if (kind === 'compressed') {
    if (zeroed !== 0) refuseQcow2('qcow2-subclusters', 'a compressed cluster has subclusters', place)
    visitor.clusters(entry, 1)
    visitor.range(kind, guestOffset, clusterSize, hostOffset, hostLength)
    return
  }
  visitor.clusters(kind === 'unallocated' && zeroed === allSubclusters ? zero : entry, 1)
  const unitBytes = clusterSize / subclusters
  const kindOf = (index: number): ClusterEntry['kind'] => {
    if (((stored >>> index) & 1) === 1) return 'normal'
    return ((zeroed >>> index) & 1) === 1 ? 'zero' : 'unallocated'
  }
  for (let index = 0; index < subclusters;) {
    const part = kindOf(index)
    let end = index + 1
    while (end < subclusters && kindOf(end) === part) end += 1
    const length = (end - index) * unitBytes
    const start = index * unitBytes
    if (part === 'normal') visitor.range(part, guestOffset + start, length, hostOffset + start, length)
    else visitor.range(part, guestOffset + start, length, 0, 0)
    index = end
  }
}

/** How many entries from one on go on as it begins, itself counted. */
function countAlike(
  view: DataView,
  index: number,
  end: number,
  { kind, hostOffset, hostLength }: ClusterEntry,
  clusterSize: number,
): number {
  if (kind === 'compressed') return 1
  const step = hostLength | 0
  // No further than offsets can be told apart.
  const mostBehind = step === 0 ? end : Math.floor((Number.MAX_SAFE_INTEGER - hostOffset) / clusterSize) - 1
  const last = Math.min(end - 1, index + mostBehind)
  const high = view.getInt32(index * 8)
  let low = view.getInt32(index * 8 + 4)
  let next = index + 1
  for (; next <= last; next += 1) {
    low = (low + step) | 0
    // At 4 GiB the upper half changes too.
    if (step !== 0 && low >>> 9 === 0) break
    if (view.getInt32(next * 8 + 4) !== low || view.getInt32(next * 8) !== high) break
  }
  return next - index
}

/**
 * The last byte that must be inside the file for neighbouring clusters of one kind: each begins inside. The last one may
 * be cut by the file's end, behind which it reads as zero, as in qemu; compressed data may be cut inside its last
 * sector. -1 where nothing is stored.
 */
export function lastByteInside({ kind, hostOffset, hostLength }: ClusterEntry, count: number): number {
  if (hostLength === 0) return -1
  const end = hostOffset + count * hostLength
  return kind === 'compressed' ? Math.max(hostOffset, end - 512) : end - hostLength
}

/**
 * Reads one standard L2 entry, as two big-endian halves.
 *
 * @param place where the entry lies in the file, for the error
 * @throws {Qcow2DecodeError} on reserved bits, misaligned clusters, offsets beyond 2^53
 */
export function parseL2Entry(upper: number, lower: number, layout: Qcow2Layout, place: number): ClusterEntry {
  if (upper === 0 && lower === 0) return unallocated
  if ((upper & compressedHigh) !== 0) return parseCompressed(upper, lower, layout, place)
  const reserved = layout.version === 2 ? l2Reserved.low | zeroLow : l2Reserved.low
  if ((upper & l2Reserved.high) !== 0 || (lower & reserved) !== 0) {
    refuseQcow2('qcow2-entry-reserved-bits', 'an L2 entry has reserved bits set', place)
  }
  const isZero = (lower & zeroLow) !== 0
  const hostOffset = entryOffset(upper, lower)
  if (hostOffset === 0) {
    if ((upper & copiedFlag) !== 0)
      refuseQcow2('qcow2-entry-reserved-bits', 'an empty L2 entry has a flag', place)
    return zero
  }
  if (hostOffset > Number.MAX_SAFE_INTEGER - layout.clusterSize) {
    refuseQcow2('qcow2-cluster-outside-file', 'a cluster lies outside the file', place)
  }
  if (hostOffset % layout.clusterSize !== 0) {
    refuseQcow2('qcow2-entry-misaligned', 'a cluster is not on a cluster boundary', place)
  }
  return { kind: isZero ? 'zero' : 'normal', hostOffset, hostLength: layout.clusterSize }
}

/** Bits 0 to x-1 are the byte offset, x to 61 the further sectors, x being 70 less the cluster bits. */
function parseCompressed(upper: number, lower: number, layout: Qcow2Layout, place: number): ClusterEntry {
  if ((upper & copiedFlag) !== 0) {
    refuseQcow2('qcow2-entry-reserved-bits', 'a compressed L2 entry has the flag of a normal one', place)
  }
  const descriptor = (BigInt(upper & 0x3fffffff) << 32n) | BigInt(lower)
  const offsetBits = BigInt(compressedOffsetBits(layout.clusterBits))
  const offset = descriptor & ((1n << offsetBits) - 1n)
  if (offset > BigInt(Number.MAX_SAFE_INTEGER - 2 ** 24)) {
    refuseQcow2('qcow2-cluster-outside-file', 'compressed data lies outside the file', place)
  }
  const hostOffset = Number(offset)
  const furtherSectors = Number(descriptor >> offsetBits)
  return {
    kind: 'compressed',
    hostOffset,
    hostLength: (furtherSectors + 1) * 512 - (hostOffset % 512),
  }
}
