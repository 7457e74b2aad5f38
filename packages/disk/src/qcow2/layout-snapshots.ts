import { Fields } from '../layouts/fields.ts'

/** Bytes of an entry of the snapshot table, without what it has of any length. */
export const snapshotEntryBytes = 40
/** Extra data of one snapshot that readers take. */
export const mostSnapshotExtraBytes = 1024
/** Longest snapshot table that readers take. */
export const mostSnapshotTableBytes: number = 64 * 1024 ** 2

/** What an entry of the snapshot table says. */
export interface SnapshotEntry {
  readonly l1Offset: bigint
  readonly l1Entries: number
  readonly extraBytes: number
  /** Bytes of the whole entry; the next one begins at the next multiple of 8. */
  readonly length: number
}

/** @see https://www.qemu.org/docs/master/interop/qcow2.html, "Snapshots" */
export function readSnapshotEntry(bytes: Uint8Array): SnapshotEntry {
  const fields = new Fields(bytes)
  const extraBytes = fields.u32be(36)
  return {
    l1Offset: fields.u64be(0),
    l1Entries: fields.u32be(8),
    extraBytes,
    length: snapshotEntryBytes + extraBytes + fields.u16be(12) + fields.u16be(14),
  }
}
