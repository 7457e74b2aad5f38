import type { Qcow2Layout } from './layout.ts'
import { maximumL1Bytes, maximumSnapshotExtraBytes, maximumSnapshotTableBytes } from './limits.ts'
import { refuse } from './qcow2-decode-error.ts'

/** Reads tables; what lies outside the file is refused under the table's name. */
export interface TableReader {
  /** Claims the place before it is read: where a stream's cluster has taken it, nothing was kept in the file. */
  read(offset: number, length: number, table: string, claim: ClaimHost): Promise<Uint8Array>
  requireInside(offset: number, length: number, table: string): Promise<void>
}

/** Notes that host bytes are in use, or refuses: they are already. */
export type ClaimHost = (offset: number, length: number) => void

const entryBytes = 40
const emptyPart = new Uint8Array(4096)

/**
 * Walks the table of internal snapshots within qemu's own bounds. The snapshots themselves are not read.
 *
 * @throws {Qcow2DecodeError}
 */
export async function checkSnapshots(
  layout: Qcow2Layout,
  reader: TableReader,
  claim: ClaimHost,
): Promise<void> {
  const start = Number(layout.snapshotsOffset)
  let offset = start
  let claimedEnd = start
  // Entry by entry, though a host cluster can be claimed only once.
  const claimUpTo = (end: number): void => {
    const clusterEnd = Math.ceil(end / layout.clusterSize) * layout.clusterSize
    if (clusterEnd > claimedEnd) claim(claimedEnd, clusterEnd - claimedEnd)
    claimedEnd = Math.max(claimedEnd, clusterEnd)
  }
  const l1Tables: { readonly offset: number; readonly length: number }[] = []
  for (let index = 0; index < layout.snapshotCount; index += 1) {
    const bytes = await reader.read(offset, entryBytes, 'the snapshot table', (place, length) => {
      claimUpTo(place + length)
    })
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const extraBytes = view.getUint32(36)
    if (extraBytes > maximumSnapshotExtraBytes) {
      refuse('qcow2-snapshot-table', 'a snapshot has too much extra data', offset)
    }
    const l1Offset = view.getBigUint64(0)
    const l1Bytes = view.getUint32(8) * 8
    const aligned = l1Offset % BigInt(layout.clusterSize) === 0n
    if (!aligned || l1Offset > BigInt(Number.MAX_SAFE_INTEGER - maximumL1Bytes) || l1Bytes > maximumL1Bytes) {
      refuse('qcow2-snapshot-table', 'a snapshot has a misplaced or oversized L1 table', offset)
    }
    if (l1Bytes > 0) l1Tables.push({ offset: Number(l1Offset), length: l1Bytes })
    const length = entryBytes + extraBytes + view.getUint16(12) + view.getUint16(14)
    await reader.requireInside(offset, length, 'the snapshot table')
    claimUpTo(offset + length)
    offset += Math.ceil(length / 8) * 8
    if (offset - start > maximumSnapshotTableBytes) {
      refuse('qcow2-snapshot-table', 'the snapshot table is too large', start)
    }
  }
  for (const table of l1Tables) {
    await reader.requireInside(table.offset, table.length, "a snapshot's L1 table")
    claim(table.offset, table.length)
  }
}

/**
 * Makes sure that refcount table and blocks are in the file and nothing else is where they are. What they count
 * is not compared: it changes no byte of the disk.
 *
 * @throws {Qcow2DecodeError}
 */
export async function checkRefcounts(
  layout: Qcow2Layout,
  reader: TableReader,
  claim: ClaimHost,
): Promise<void> {
  const { clusterSize } = layout
  const refcountTableOffset = Number(layout.refcountTableOffset)
  const refcountTableBytes = layout.refcountTableClusters * clusterSize
  const bytes = await reader.read(refcountTableOffset, refcountTableBytes, 'the refcount table', claim)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let place = 0; place < bytes.byteLength; place += 8) {
    // Each entry tells of GiBs: most of the table is empty.
    if (place % emptyPart.byteLength === 0 && isEmpty(bytes, place)) {
      place += emptyPart.byteLength - 8
      continue
    }
    const upper = view.getUint32(place)
    const lower = view.getUint32(place + 4)
    const block = upper * 2 ** 32 + lower
    if (block === 0) continue
    if (lower % clusterSize !== 0 || block > Number.MAX_SAFE_INTEGER - clusterSize) {
      refuse('qcow2-refcount-table', 'a refcount block is misplaced', refcountTableOffset + place)
    }
    await reader.requireInside(block, clusterSize, 'a refcount block')
    claim(block, clusterSize)
  }
}

function isEmpty(bytes: Uint8Array, start: number): boolean {
  return Buffer.compare(bytes.subarray(start, start + emptyPart.byteLength), emptyPart) === 0
}
