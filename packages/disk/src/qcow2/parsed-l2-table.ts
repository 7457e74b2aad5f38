import { bytesPerL2Table, type Qcow2Layout } from './layout.ts'
import { type ClusterEntry, parseL2Entry } from './l2-entry.ts'
import { visitL2Table } from './l2-table.ts'
import { refuse } from './qcow2-decode-error.ts'

export const clusterKinds: readonly ClusterEntry['kind'][] = ['unallocated', 'zero', 'plain', 'compressed']

/** A table's entries, parsed once, in flat arrays. */
export interface ParsedL2Table {
  /** Places in {@link clusterKinds}. */
  readonly kinds: Uint8Array
  readonly hostOffsets: Float64Array
  readonly hostLengths: Uint32Array
  /** Bits of the subclusters of each cluster that are stored, and that are zero, where there are subclusters. */
  readonly stored: Uint32Array
  readonly zeroed: Uint32Array
}

/** @throws {Qcow2DecodeError} on damaged entries, and on entries behind the virtual size */
export function parseL2Table(
  bytes: Uint8Array,
  layout: Qcow2Layout,
  index: number,
  offset: number,
): ParsedL2Table {
  const entries = layout.clusterSize / (layout.extendedL2 ? 16 : 8)
  const subclusters = layout.extendedL2 ? entries : 0
  const table: ParsedL2Table = {
    kinds: new Uint8Array(entries),
    hostOffsets: new Float64Array(entries),
    hostLengths: new Uint32Array(entries),
    stored: new Uint32Array(subclusters),
    zeroed: new Uint32Array(subclusters),
  }
  if (layout.extendedL2) fillExtended(table, bytes, layout, index, offset)
  else fillStandard(table, bytes, layout, index, offset)
  return table
}

function fillStandard(
  table: ParsedL2Table,
  bytes: Uint8Array,
  layout: Qcow2Layout,
  index: number,
  offset: number,
): void {
  const guestStart = index * bytesPerL2Table(layout)
  visitL2Table(bytes, layout, index, offset, (guestOffset, first, clusters) => {
    const start = (guestOffset - guestStart) / layout.clusterSize
    const { hostOffset, hostLength } = first
    table.kinds.fill(clusterKinds.indexOf(first.kind), start, start + clusters)
    table.hostLengths.fill(hostLength, start, start + clusters)
    for (let behind = 0; behind < clusters; behind += 1) {
      table.hostOffsets[start + behind] = hostOffset + behind * hostLength
    }
  })
}

/** @see https://www.qemu.org/docs/master/interop/qcow2.html, "Extended L2 Entries" */
function fillExtended(
  table: ParsedL2Table,
  bytes: Uint8Array,
  layout: Qcow2Layout,
  tableIndex: number,
  offset: number,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const guestStart = tableIndex * bytesPerL2Table(layout)
  const inside = Math.ceil((layout.sizeBytes - guestStart) / layout.clusterSize)
  for (let index = 0; index < table.kinds.length; index += 1) {
    const place = offset + index * 16
    const entry = parseL2Entry(view.getUint32(index * 16), view.getUint32(index * 16 + 4), layout, place)
    const zeroed = view.getUint32(index * 16 + 8)
    const stored = view.getUint32(index * 16 + 12)
    const isStored = entry.kind === 'plain'
    // The whole cluster's mark for zero has no place here, and a compressed one has no parts.
    if (entry.kind === 'zero' || (zeroed & stored) !== 0 || (!isStored && stored !== 0)) {
      refuse('qcow2-subclusters', 'the subclusters of an L2 entry contradict it', place)
    }
    if (entry.kind === 'compressed' && zeroed !== 0) {
      refuse('qcow2-subclusters', 'a compressed cluster has subclusters', place)
    }
    if (index >= inside && entry.kind !== 'unallocated') {
      refuse('qcow2-beyond-virtual-size', 'a cluster lies behind the virtual size', place)
    }
    table.kinds[index] = clusterKinds.indexOf(entry.kind)
    table.hostOffsets[index] = entry.hostOffset
    table.hostLengths[index] = entry.hostLength
    table.stored[index] = stored
    table.zeroed[index] = zeroed
  }
}
