import { cutRuns, hasSector, isFull, markSectors } from '../chain/bitmap.ts'
import type { Disk } from '../chain/disk.ts'
import { readPieces } from '../chain/read-pieces.ts'
import { Piece, resolveRange } from '../chain/resolve.ts'
import { footerBytes, roundUp, sectorBytes, unallocated } from '../format/constants.ts'
import type { DynamicLayout, Layout } from '../inspect/layout.ts'
import type { FileTarget } from '../io/file-target.ts'
import { createBufferPool, type BufferPool } from '../io/buffer-pool.ts'
import { createGate, type Gate } from '../io/gate.ts'
import { isZero } from '../io/zeroes.ts'
import { createBlockAllocator } from './allocate.ts'
import { finishFile, extendFile } from './grow.ts'
import type { MergeOptions } from './merge-options.ts'
import { prepareAhead } from './read-ahead.ts'
import { joinPieces, Span } from './spans.ts'
import { writeTables, type TableChanges } from './tables.ts'
import { listWork, type Work } from './work.ts'

/** Bitmaps of existing blocks wait in memory until their data is on the disk; so many at most. */
const pendingBitmaps = 8192

interface Prepared {
  readonly work: Work
  readonly pieces: readonly Piece[]
  readonly spans: readonly Span[]
  /** The block's bitmap and data, as they are to be in the file. */
  readonly buffer: Uint8Array
}

/** What one merge knows while it runs. */
interface Merge {
  readonly children: readonly Disk[]
  readonly target: FileTarget
  readonly layout: Layout
  readonly dynamic: DynamicLayout
  /** Whether sectors without a bit read as zero: in a base without parent. */
  readonly endsChain: boolean
  readonly keepZeroBlocks: boolean
  /** Of a block with its bitmap. */
  readonly buffers: BufferPool
  readonly scratch: BufferPool
}

/**
 * Merges children into a base of blocks. First new blocks behind the old end and data that the children hide,
 * then bitmaps, then the table, then the footer, each on the disk before the next: at every instant the chain
 * reads the same, and a run that was killed is completed by another.
 */
export async function mergeBlocks(
  children: readonly Disk[],
  target: FileTarget,
  layout: Layout,
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
    buffers: createBufferPool(bitmapBytes + header.blockSizeBytes),
    scratch: createBufferPool(header.blockSizeBytes),
  }
  const works = (): Iterable<Work> =>
    listWork(children, header.blockSizeBytes, (start) => hasBlock(dynamic, start))
  const allocator = createBlockAllocator(dynamic.endOfData, bitmapBytes, header.blockSizeBytes)
  const { all, added } = count(works(), table)
  const total = all * header.blockSizeBytes
  const freshFrom = await target.currentSize()
  // The footer is at the new end before anything else is there.
  await extendFile(target, layout.found.bytes, allocator.endAfter(added) + footerBytes)
  const bitmaps = new Map<number, Uint8Array>()
  const changes: TableChanges = {
    first: Infinity,
    last: -1,
    full: new Uint8Array(Math.ceil(table.length / 8)),
  }
  const gate = createGate(2)
  let completed = 0
  try {
    for await (const prepared of prepareAhead(works(), 2, (work) => prepare(merge, work))) {
      signal?.throwIfAborted()
      const { buffer } = prepared
      const { index } = prepared.work
      const isNew = table[index] === unallocated
      if (isNew && !isWanted(merge, prepared)) merge.buffers.giveBack(buffer)
      else {
        if (isNew) {
          table[index] = allocator.next() / sectorBytes
          changes.first = Math.min(changes.first, index)
          changes.last = index
        } else bitmaps.set(index, buffer.slice(0, bitmapBytes))
        if (isFull(buffer, header.blockSizeBytes / sectorBytes))
          markSectors(changes.full, index * sectorBytes, (index + 1) * sectorBytes)
        await gate.add(async () => {
          await (isNew ? writeNew(merge, prepared, freshFrom) : writeSpans(merge, prepared))
          merge.buffers.giveBack(buffer)
        })
      }
      if (bitmaps.size >= pendingBitmaps) await flushBitmaps(merge, gate, bitmaps)
      completed += 1
      onProgress?.({ stage: 'coalesce', completed: completed * header.blockSizeBytes, total, unit: 'bytes' })
    }
    await flushBitmaps(merge, gate, bitmaps)
  } catch (error) {
    await gate.settle()
    await takeBack(merge, freshFrom).catch(() => undefined)
    throw error
  }
  await writeTables(target, dynamic, changes)
  if (all > 0) await finishFile(target, layout.found.bytes, allocator.end())
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
  const buffer = merge.buffers.take()
  const data = buffer.subarray(bitmapBytes)
  if (isNew) buffer.fill(0, 0, bitmapBytes)
  else await target.read(buffer.subarray(0, bitmapBytes), offset)
  const all = await resolveRange(children, work.start, work.end)
  const pieces = all
    .filter(({ ended }) => ended)
    .flatMap((piece) => (piece.level === undefined && endsChain ? hiddenRuns(piece, work, buffer) : [piece]))
  const spans = joinPieces(pieces)
  if (isNew) {
    if (pieces.length < all.length || work.end - work.start < data.length) data.fill(0)
  } else {
    for (const { start, end, hasGaps } of spans) {
      if (!hasGaps) continue
      const span = data.subarray(start - work.start, end - work.start)
      await target.read(span, offset + bitmapBytes + start - work.start)
    }
  }
  await readPieces(children, pieces, data, work.start, merge.scratch)
  fillLastSector(work, spans, buffer, bitmapBytes)
  for (const { start, end, level } of pieces) {
    if (level === undefined) data.fill(0, start - work.start, end - work.start)
    markSectors(buffer, start - work.start, end - work.start)
  }
  return { work, pieces, spans, buffer }
}

/** Of a run that reads as zero, what the base has to hide: where nothing is below, an unwritten sector is zero. */
function hiddenRuns(piece: Piece, work: Work, bitmap: Uint8Array): Piece[] {
  const runs: Piece[] = []
  cutRuns(bitmap, piece.start, piece.end, work.start, 0, (start, end, fileOffset) => {
    if (fileOffset !== undefined) runs.push(new Piece(start, end, piece.level, piece.fileOffset, piece.ended))
  })
  return runs
}

/** A leaf may end inside a sector: the rest of it is zero unless the base, being larger, has it. */
function fillLastSector(work: Work, spans: Span[], buffer: Uint8Array, bitmapBytes: number): void {
  const last = spans[spans.length - 1]
  const rest = last === undefined ? 0 : last.end % sectorBytes
  if (last === undefined || rest === 0) return
  const sector = Math.floor((last.end - work.start) / sectorBytes)
  if (hasSector(buffer, sector)) return
  const end = last.end - rest + sectorBytes
  buffer.fill(0, bitmapBytes + last.end - work.start, bitmapBytes + end - work.start)
  spans[spans.length - 1] = new Span(last.start, end, last.hasGaps)
}

/** Whether a block that the base does not have is worth one. */
function isWanted(merge: Merge, { pieces, buffer }: Prepared): boolean {
  if (!merge.endsChain) return pieces.length > 0
  if (pieces.length === 0) return false
  return merge.keepZeroBlocks || !isZero(buffer.subarray(merge.dynamic.bitmapBytes))
}

async function writeNew(merge: Merge, prepared: Prepared, freshFrom: number): Promise<void> {
  const { target, dynamic } = merge
  const offset = (dynamic.table[prepared.work.index] as number) * sectorBytes
  const covered = prepared.spans.reduce((sum, { start, end }) => sum + end - start, 0)
  // Behind the old end there are holes. Anything else would shine through in programs that ignore bitmaps.
  if (offset >= freshFrom && covered < dynamic.header.blockSizeBytes / 4) {
    await target.write(prepared.buffer.subarray(0, dynamic.bitmapBytes), offset)
    await writeSpans(merge, prepared)
  } else await target.write(prepared.buffer, offset)
}

async function writeSpans(
  { target, dynamic }: Merge,
  { work: { index, start: base }, spans, buffer }: Prepared,
): Promise<void> {
  const offset = (dynamic.table[index] as number) * sectorBytes + dynamic.bitmapBytes
  const data = buffer.subarray(dynamic.bitmapBytes)
  for (const { start, end } of spans) {
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
