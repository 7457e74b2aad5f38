import {
  type ChainDisk,
  ChainExtent,
  createBlockAllocator,
  cutExtents,
  type DynamicLayout,
  footerBytes,
  hasSector,
  isFull,
  markSectors,
  readExtents,
  resolveRange,
  roundUp,
  sectorBytes,
  unallocated,
  type VhdLayout,
  viewOf,
} from '@disk-image/disk/vhd'
import { BufferPool, isZero, prepareAhead } from '@disk-image/io'
import type { FileTarget } from '../files/vhd-file.ts'
import {
  createGate,
  type Gate,
  JoinedExtent,
  joinExtents,
  listWork,
  type MergeOptions,
  type Work,
} from './work.ts'
import { extendFile, finishFile, readMap, writeBatmap } from './grow.ts'

/** Bitmaps of existing blocks wait in memory until their data is on the disk; so many at most. */
const pendingBitmaps = 8192

interface Prepared {
  readonly work: Work
  readonly extents: readonly ChainExtent[]
  readonly joined: readonly JoinedExtent[]
  /** The block's bitmap and data, as they are to be in the file. */
  readonly buffer: Uint8Array
}

/** What one merge knows while it hidden. */
interface Merge {
  readonly children: readonly ChainDisk[]
  readonly target: FileTarget
  readonly layout: VhdLayout
  readonly dynamic: DynamicLayout
  /** Whether sectors without a bit read as zero: in a base without parent. */
  readonly endsChain: boolean
  readonly keepZeroBlocks: boolean
  /** Of a block with its bitmap. */
  readonly buffers: BufferPool
  readonly scratch: Uint8Array[]
}

/**
 * Merges children into a base of blocks. First new blocks behind the old end and data that the children hide,
 * then bitmaps, then the table, then the footer, each on the disk before the next: at every instant the chain
 * reads the same, and a run that was killed is completed by another.
 */
export async function mergeBlocks(
  children: readonly ChainDisk[],
  target: FileTarget,
  layout: VhdLayout,
  dynamic: DynamicLayout,
  { signal, onProgress, keepZeroBlocks = false }: MergeOptions,
): Promise<void> {
  const { table, bitmapBytes, header } = dynamic
  const endsChain = layout.found.footer.type === 'dynamic'
  const merge: Merge = {
    children,
    target,
    layout,
    dynamic,
    endsChain,
    keepZeroBlocks,
    buffers: new BufferPool({ bufferBytes: bitmapBytes + header.blockSizeBytes, perBlock: 4 }),
    scratch: [],
  }
  const works = (): Iterable<Work> =>
    listWork(children, header.blockSizeBytes, (start) => hasBlock(dynamic, start))
  const allocator = createBlockAllocator(dynamic.endOfData, bitmapBytes, header.blockSizeBytes)
  const { all, added } = count(works(), table)
  const total = all * header.blockSizeBytes
  const freshFrom = await target.currentSize()
  // The footer is at the new end before anything else is there.
  await extendFile(target, layout.found.bytes, allocator.endAfter(added) + footerBytes)
  const placed: PlacedBlocks = {
    allocator,
    freshFrom,
    bitmaps: new Map(),
    changes: { first: Infinity, last: -1, full: new Uint8Array(Math.ceil(table.length / 8)) },
    gate: createGate(2),
  }
  let completed = 0
  try {
    for await (const prepared of prepareAhead(works(), 2, (work) => prepare(merge, work))) {
      signal?.throwIfAborted()
      await placeBlock(merge, prepared, placed)
      completed += 1
      onProgress?.({ stage: 'coalesce', completed: completed * header.blockSizeBytes, total, unit: 'bytes' })
    }
    await flushBitmaps(merge, placed.gate, placed.bitmaps)
  } catch (error) {
    await placed.gate.settle()
    await takeBack(merge, freshFrom).catch(() => undefined)
    throw error
  }
  await writeTables(target, dynamic, placed.changes)
  if (all > 0) await finishFile(target, layout.found.bytes, allocator.end())
}

/** What a merge has written so far, and what waits for its turn. */
interface PlacedBlocks {
  readonly allocator: ReturnType<typeof createBlockAllocator>
  /** Where what is new in the file begins. */
  readonly freshFrom: number
  readonly bitmaps: Map<number, Uint8Array>
  readonly changes: TableChanges
  readonly gate: ReturnType<typeof createGate>
}

/** Begins to write a block: a new one behind all others, one that was there where it is. */
async function placeBlock(
  merge: Merge,
  prepared: Prepared,
  { allocator, freshFrom, bitmaps, changes, gate }: PlacedBlocks,
): Promise<void> {
  const { table, bitmapBytes, header } = merge.dynamic
  const { buffer } = prepared
  const { index } = prepared.work
  const isNew = table[index] === unallocated
  if (isNew && !isWanted(merge, prepared)) merge.buffers.release(buffer)
  else {
    if (isNew) {
      table[index] = allocator.next() / sectorBytes
      changes.first = Math.min(changes.first, index)
      changes.last = index
    } else bitmaps.set(index, buffer.slice(0, bitmapBytes))
    if (isFull(buffer, header.blockSizeBytes / sectorBytes)) {
      markSectors(changes.full, index * sectorBytes, (index + 1) * sectorBytes)
    }
    await gate.add(async () => {
      await (isNew ? writeNew(merge, prepared, freshFrom) : writeJoined(merge, prepared))
      merge.buffers.release(buffer)
    })
  }
  if (bitmaps.size >= pendingBitmaps) await flushBitmaps(merge, gate, bitmaps)
}

function count(works: Iterable<Work>, table: Uint32Array): { all: number; added: number } {
  let [all, added] = [0, 0]
  for (const { index } of works) {
    all += 1
    if (table[index] === unallocated) added += 1
  }
  return { all, added }
}

function hasBlock({ table, header }: DynamicLayout, start: number): boolean {
  const entry = table[start / header.blockSizeBytes]
  return entry !== undefined && entry !== unallocated
}

async function prepare(merge: Merge, work: Work): Promise<Prepared> {
  const { children, target, dynamic, endsChain } = merge
  const { bitmapBytes, table } = dynamic
  const offset = (table[work.index] as number) * sectorBytes
  const isNew = table[work.index] === unallocated
  const buffer = merge.buffers.acquire()
  const data = buffer.subarray(bitmapBytes)
  if (isNew) buffer.fill(0, 0, bitmapBytes)
  else await target.read(buffer.subarray(0, bitmapBytes), offset)
  const all = await resolveRange(children, work.start, work.end)
  const extents = all
    .filter(({ ended }) => ended)
    .flatMap((extent) =>
      extent.level === undefined && endsChain ? hiddenExtents(extent, work, buffer) : [extent],
    )
  const joined = joinExtents(extents)
  if (isNew) {
    if (extents.length < all.length || work.end - work.start < data.length) data.fill(0)
  } else {
    for (const { start, end, hasGaps } of joined) {
      if (!hasGaps) continue
      const span = data.subarray(start - work.start, end - work.start)
      await target.read(span, offset + bitmapBytes + start - work.start)
    }
  }
  await readExtents(children, extents, data, work.start, merge.scratch)
  fillLastSector(work, joined, buffer, bitmapBytes)
  for (const { start, end, level } of extents) {
    if (level === undefined) data.fill(0, start - work.start, end - work.start)
    markSectors(buffer, start - work.start, end - work.start)
  }
  return { work, extents, joined, buffer }
}

/** Of an extent that reads as zero, what the base has to hide: where nothing is below, an unwritten sector is zero. */
function hiddenExtents(extent: ChainExtent, work: Work, bitmap: Uint8Array): ChainExtent[] {
  const hidden: ChainExtent[] = []
  cutExtents(bitmap, extent.start, extent.end, work.start, 0, (start, end, fileOffset) => {
    if (fileOffset !== undefined)
      hidden.push(new ChainExtent(start, end, extent.level, extent.fileOffset, extent.ended))
  })
  return hidden
}

/** A leaf may end inside a sector: the rest of it is zero unless the base, being larger, has it. */
function fillLastSector(work: Work, joined: JoinedExtent[], buffer: Uint8Array, bitmapBytes: number): void {
  const last = joined[joined.length - 1]
  const rest = last === undefined ? 0 : last.end % sectorBytes
  if (last === undefined || rest === 0) return
  const sector = Math.floor((last.end - work.start) / sectorBytes)
  if (hasSector(buffer, sector)) return
  const end = last.end - rest + sectorBytes
  buffer.fill(0, bitmapBytes + last.end - work.start, bitmapBytes + end - work.start)
  joined[joined.length - 1] = new JoinedExtent(last.start, end, last.hasGaps)
}

/** Whether a block that the base does not have is worth one. */
function isWanted(merge: Merge, { extents, buffer }: Prepared): boolean {
  if (!merge.endsChain) return extents.length > 0
  if (extents.length === 0) return false
  return merge.keepZeroBlocks || !isZero(buffer.subarray(merge.dynamic.bitmapBytes))
}

async function writeNew(merge: Merge, prepared: Prepared, freshFrom: number): Promise<void> {
  const { target, dynamic } = merge
  const offset = (dynamic.table[prepared.work.index] as number) * sectorBytes
  const covered = prepared.joined.reduce((sum, { start, end }) => sum + end - start, 0)
  // Behind the old end there are holes. Anything else would shine through in programs that ignore bitmaps.
  if (offset >= freshFrom && covered < dynamic.header.blockSizeBytes / 4) {
    await target.write(prepared.buffer.subarray(0, dynamic.bitmapBytes), offset)
    await writeJoined(merge, prepared)
  } else await target.write(prepared.buffer, offset)
}

async function writeJoined(
  { target, dynamic }: Merge,
  { work: { index, start: base }, joined, buffer }: Prepared,
): Promise<void> {
  const offset = (dynamic.table[index] as number) * sectorBytes + dynamic.bitmapBytes
  const data = buffer.subarray(dynamic.bitmapBytes)
  for (const { start, end } of joined) {
    await target.write(data.subarray(start - base, end - base), offset + start - base)
  }
}

async function flushBitmaps(
  { target, dynamic }: Merge,
  gate: Gate,
  bitmaps: Map<number, Uint8Array>,
): Promise<void> {
  await gate.drain()
  await target.sync()
  if (bitmaps.size === 0) return
  for (const [index, bitmap] of bitmaps) {
    await gate.add(() => target.write(bitmap, (dynamic.table[index] as number) * sectorBytes))
  }
  await gate.drain()
  await target.sync()
  bitmaps.clear()
}

/** After a failure the table still says what it said: the new blocks are given back. */
async function takeBack({ target, layout }: Merge, size: number): Promise<void> {
  if (layout.found.origin !== 'end' || size % sectorBytes !== 0) return
  await target.write(layout.found.bytes, roundUp(size, sectorBytes) - footerBytes)
  await target.sync()
  await target.truncate(size)
}

/** Entries of the table that are written in one go. */
const chunkEntries = 65_536

/** What a merge changed in a disk's tables. */
interface TableChanges {
  /** The first and the last entry that changed; `last` is -1 where none did. */
  first: number
  last: number
  /** One bit per block, the highest first: set where every sector of the block is written now. */
  readonly full: Uint8Array
}

/** Writes the table's changed sectors, and the batmap's bits of blocks that are full now. */
async function writeTables(
  target: FileTarget,
  dynamic: DynamicLayout,
  { first, last, full }: TableChanges,
): Promise<void> {
  for (let from = first; from <= last; from += chunkEntries) {
    await writeEntries(target, dynamic, from, Math.min(from + chunkEntries, last + 1))
  }
  if (last >= 0) await target.sync()
  const { batmap } = dynamic
  if (batmap === undefined) return
  const map = await readMap(target, batmap)
  const before = Uint8Array.from(map)
  for (const [index, bits] of full.entries()) map[index] = (map[index] as number) | bits
  if (batmap.intact && Buffer.compare(before, map) === 0) return
  await writeBatmap(target, batmap, map)
  await target.sync()
}

async function writeEntries(
  target: FileTarget,
  { header, table }: DynamicLayout,
  from: number,
  to: number,
): Promise<void> {
  const perSector = sectorBytes / 4
  // Whole sectors, so that a disk writes none in halves.
  const start = Math.floor(from / perSector) * perSector
  const end = Math.min(Math.ceil(to / perSector) * perSector, table.length)
  const bytes = new Uint8Array((end - start) * 4)
  const view = viewOf(bytes)
  for (let index = start; index < end; index += 1) view.setUint32((index - start) * 4, table[index] as number)
  await target.write(bytes, header.tableOffset + start * 4)
}
