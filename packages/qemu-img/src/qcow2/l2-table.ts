import { bytesPerL2Table, type Qcow2Header } from './header.ts'
import { parseL2Entry, type ClusterEntry } from './l2-entry.ts'
import { refuse } from './qcow2-decode-error.ts'

/**
 * Visits a table's guest clusters, in order.
 *
 * @throws {Qcow2DecodeError} on damaged entries, and on entries behind the virtual size
 */
export function visitL2Table(
  bytes: Uint8Array,
  header: Qcow2Header,
  tableIndex: number,
  tableOffset: number,
  visit: (guestOffset: number, entry: ClusterEntry) => void,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const guestStart = tableIndex * bytesPerL2Table(header)
  for (let index = 0; index < header.clusterSize / 8; index += 1) {
    const place = tableOffset + index * 8
    const entry = parseL2Entry(view.getUint32(index * 8), view.getUint32(index * 8 + 4), header, place)
    const guestOffset = guestStart + index * header.clusterSize
    if (guestOffset < header.virtualSizeBytes) visit(guestOffset, entry)
    else if (entry.kind !== 'unallocated') {
      refuse('qcow2-beyond-virtual-size', 'a cluster lies behind the virtual size', place)
    }
  }
}
