import { bytesPerL2Table, type Qcow2Layout } from './layout.ts'
import { parseL2Entry, type ClusterEntry } from './l2-entry.ts'
import { refuse } from './qcow2-decode-error.ts'

/**
 * Takes the first of some neighbouring guest clusters, and how many they are. They are alike: either none has anything
 * in the file, or each is there right behind the one before. Compressed ones come one by one.
 */
export type VisitClusters = (guestOffset: number, first: ClusterEntry, clusters: number) => void

/**
 * Visits a table's guest clusters, in order. A table has thousands of entries and is mostly looked at once, by code
 * that the engine has not compiled yet: so what can be is told of many at once.
 *
 * @throws {Qcow2DecodeError} on damaged entries, and on entries behind the virtual size
 */
export function visitL2Table(
  bytes: Uint8Array,
  layout: Qcow2Layout,
  tableIndex: number,
  tableOffset: number,
  visit: VisitClusters,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { clusterSize } = layout
  const entries = clusterSize / 8
  const guestStart = tableIndex * bytesPerL2Table(layout)
  const inside = Math.min(entries, Math.ceil((layout.sizeBytes - guestStart) / clusterSize))
  for (let index = 0; index < entries;) {
    const place = tableOffset + index * 8
    const entry = parseL2Entry(view.getUint32(index * 8), view.getUint32(index * 8 + 4), layout, place)
    const isInside = index < inside
    const clusters = countAlike(view, index, isInside ? inside : entries, entry, clusterSize)
    if (isInside) visit(guestStart + index * clusterSize, entry, clusters)
    else if (entry.kind !== 'unallocated') {
      refuse('qcow2-beyond-virtual-size', 'a cluster lies behind the virtual size', place)
    }
    index += clusters
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
