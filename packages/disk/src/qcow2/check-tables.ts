import { allocateBuffer } from '@disk-image/io'
import { Problems } from '../layouts/problems.ts'
import type { SpoolFile } from '../stream/spool-file.ts'
import { Qcow2DecodeError, refuseQcow2 } from '../errors.ts'
import {
  type Qcow2Layout,
  mostSnapshotExtraBytes,
  mostSnapshotTableBytes,
  readSnapshotEntry,
  snapshotEntryBytes,
} from './layout.ts'
import { bitmapBytes, checkBitmaps, readBitmapEntry } from './layout-extensions.ts'

/** Reads tables; what lies outside the file is refused under the table's name. */
export interface TableReader {
  /** Claims the place before it is read: where a stream's cluster has taken it, nothing was put into the spool. */
  read(offset: number, length: number, table: string, claim: ClaimHost): Promise<Uint8Array>
  requireInside(offset: number, length: number, table: string): Promise<void>
}

/**
 * Reads tables from a spool.
 *
 * @param arrived waits for so many bytes of the image, and resolves with those that are there
 */
export function createTableReader(file: SpoolFile, arrived: (bytes: number) => Promise<number>): TableReader {
  const requireInside = async (offset: number, length: number, table: string): Promise<void> => {
    if ((await arrived(offset + length)) >= offset + length) return
    refuseQcow2('qcow2-table-outside-file', `${table} lies outside the file`, offset)
  }
  return {
    requireInside,
    read: async (offset, length, table, claim) => {
      await requireInside(offset, length, table)
      claim(offset, length)
      const bytes = allocateBuffer(length)
      await file.readFully(bytes, offset)
      return bytes
    },
  }
}

/** Notes that host bytes are in use, or refuses: they are already. */
export type ClaimHost = (offset: number, length: number) => void

const maximumL1Bytes = 32 * 1024 ** 2
const emptyPart = new Uint8Array(4096)

/**
 * Checks what the active disk does not need, and every reader looks at all the same: snapshots and bitmaps.
 *
 * @throws {Qcow2DecodeError}
 */
export async function checkReadTables(
  layout: Qcow2Layout,
  reader: TableReader,
  claim: ClaimHost,
): Promise<void> {
  await checkSnapshots(layout, reader, claim)
  await checkBitmapTables(layout, reader, claim)
}

/**
 * Walks the table of internal snapshots within qemu's own bounds. The snapshots themselves are not read.
 *
 * @throws {Qcow2DecodeError}
 */
async function checkSnapshots(layout: Qcow2Layout, reader: TableReader, claim: ClaimHost): Promise<void> {
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
    const bytes = await reader.read(offset, snapshotEntryBytes, 'the snapshot table', (place, length) => {
      claimUpTo(place + length)
    })
    const { l1Offset, l1Entries, extraBytes, length } = readSnapshotEntry(bytes)
    if (extraBytes > mostSnapshotExtraBytes) {
      refuseQcow2('qcow2-snapshot-table', 'a snapshot has too much extra data', offset)
    }
    const l1Bytes = l1Entries * 8
    const aligned = l1Offset % BigInt(layout.clusterSize) === 0n
    if (!aligned || l1Offset > BigInt(Number.MAX_SAFE_INTEGER - maximumL1Bytes) || l1Bytes > maximumL1Bytes) {
      refuseQcow2('qcow2-snapshot-table', 'a snapshot has a misplaced or oversized L1 table', offset)
    }
    if (l1Bytes > 0) l1Tables.push({ offset: Number(l1Offset), length: l1Bytes })
    await reader.requireInside(offset, length, 'the snapshot table')
    claimUpTo(offset + length)
    offset += Math.ceil(length / 8) * 8
    if (offset - start > mostSnapshotTableBytes) {
      refuseQcow2('qcow2-snapshot-table', 'the snapshot table is too large', start)
    }
  }
  for (const table of l1Tables) {
    await reader.requireInside(table.offset, table.length, "a snapshot's L1 table")
    claim(table.offset, table.length)
  }
}

const bitmapFlags = { inUse: 1, known: 7 }
const mostNameBytes = 1023

/**
 * Walks the bitmaps that are up to date, as qemu does when it opens the image. They say nothing of what the disk holds.
 *
 * @throws {Qcow2DecodeError}
 */
async function checkBitmapTables(layout: Qcow2Layout, reader: TableReader, claim: ClaimHost): Promise<void> {
  const { bitmaps, clusterSize } = layout
  if (bitmaps === undefined) return
  const directory = await reader.read(bitmaps.offset, bitmaps.bytes, 'the bitmap directory', claim)
  const problems = new Problems('qcow2')
  checkBitmaps(directory, bitmaps, layout, problems)
  const [problem] = problems.list
  if (problem !== undefined) throw new Qcow2DecodeError(problem)
  const names = new Set<string>()
  let at = 0
  for (let index = 0; index < bitmaps.count; index += 1) {
    const place = bitmaps.offset + at
    const entry = readBitmapEntry(directory, at)
    const { tableOffset, tableEntries, flags, granularity, nameBytes, extraBytes } = entry
    const name = String.fromCharCode(...directory.subarray(at + entry.length - nameBytes, at + entry.length))
    if ((flags & ~bitmapFlags.known) !== 0 || extraBytes !== 0) {
      refuseQcow2('qcow2-bitmaps', 'a bitmap has flags or extra data that are not known', place)
    }
    if (nameBytes === 0 || nameBytes > mostNameBytes || names.has(name)) {
      refuseQcow2('qcow2-bitmaps', 'a bitmap has no name of its own', place)
    }
    names.add(name)
    const needed = Math.ceil(Number(bitmapBytes(layout.exactSizeBytes, granularity)) / clusterSize)
    const aligned = tableOffset > 0n && tableOffset % BigInt(clusterSize) === 0n
    if (!aligned || tableOffset > BigInt(Number.MAX_SAFE_INTEGER) / 2n || tableEntries !== needed) {
      refuseQcow2(
        'qcow2-bitmaps',
        'the table of a bitmap is misplaced, or of another length than it needs',
        place,
      )
    }
    await checkBitmapTable(Number(tableOffset), tableEntries * 8, clusterSize, reader, claim)
    at += Math.ceil(entry.length / 8) * 8
  }
  if (at !== bitmaps.bytes) {
    refuseQcow2('qcow2-bitmaps', 'the bitmap directory is longer than its bitmaps', bitmaps.offset + at)
  }
}

async function checkBitmapTable(
  offset: number,
  length: number,
  clusterSize: number,
  reader: TableReader,
  claim: ClaimHost,
): Promise<void> {
  const bytes = await reader.read(offset, length, 'the table of a bitmap', claim)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at < length; at += 8) {
    const upper = view.getUint32(at)
    const lower = view.getUint32(at + 4)
    // An entry without a place says with its last bit whether all are ones.
    if (upper === 0 && lower <= 1) continue
    const place = upper * 2 ** 32 + lower
    if (lower % clusterSize !== 0 || place > Number.MAX_SAFE_INTEGER - clusterSize || upper >= 2 ** 24) {
      refuseQcow2('qcow2-bitmaps', 'a part of a bitmap is misplaced', offset + at)
    }
    await reader.requireInside(place, clusterSize, 'a part of a bitmap')
    claim(place, clusterSize)
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
      refuseQcow2('qcow2-refcount-table', 'a refcount block is misplaced', refcountTableOffset + place)
    }
    await reader.requireInside(block, clusterSize, 'a refcount block')
    claim(block, clusterSize)
  }
}

function isEmpty(bytes: Uint8Array, start: number): boolean {
  return Buffer.compare(bytes.subarray(start, start + emptyPart.byteLength), emptyPart) === 0
}
