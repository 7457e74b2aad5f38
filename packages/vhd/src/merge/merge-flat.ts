import type { Disk } from '../chain/disk.ts'
import { readPieces } from '../chain/read-pieces.ts'
import { resolveRange, type Piece } from '../chain/resolve.ts'
import { defaultBlockBytes } from '../format/constants.ts'
import type { FileTarget } from '../io/file-target.ts'
import { createBufferPool } from '../io/buffer-pool.ts'
import { createGate } from '../io/gate.ts'
import { ensureZero, isZero } from '../io/zeroes.ts'
import type { MergeOptions } from './merge-options.ts'
import { prepareAhead } from './read-ahead.ts'
import { joinPieces } from './spans.ts'
import { listWork, type Work } from './work.ts'

interface Prepared {
  readonly work: Work
  readonly pieces: readonly Piece[]
  readonly buffer: Uint8Array
}

/**
 * Merges children into a base whose bytes lie where the disk has them: fixed, or raw. Only what the children
 * hide is overwritten, so the chain reads the same at every instant.
 *
 * @param baseBytes size of the base before it was grown
 */
export async function mergeFlat(
  children: readonly Disk[],
  target: FileTarget,
  baseBytes: number,
  { signal, onProgress }: MergeOptions,
): Promise<void> {
  const buffers = createBufferPool(defaultBlockBytes)
  const scratch = createBufferPool(defaultBlockBytes)
  const works = (): Iterable<Work> => listWork(children, defaultBlockBytes, (start) => start < baseBytes)
  let total = 0
  for (const { start, end } of works()) total += end - start
  const prepare = async (work: Work): Promise<Prepared> => {
    const pieces = (await resolveRange(children, work.start, work.end)).filter(({ ended }) => ended)
    const buffer = buffers.take()
    await readPieces(children, pieces, buffer, work.start, scratch)
    return { work, pieces, buffer }
  }
  const gate = createGate(2)
  let completed = 0
  try {
    for await (const prepared of prepareAhead(works(), 2, prepare)) {
      signal?.throwIfAborted()
      await gate.add(async () => {
        await writePieces(target, prepared)
        buffers.giveBack(prepared.buffer)
      })
      completed += prepared.work.end - prepared.work.start
      onProgress?.({ stage: 'coalesce', completed, total, unit: 'bytes' })
    }
  } finally {
    await gate.settle()
  }
  await gate.drain()
  await target.sync()
}

async function writePieces(
  target: FileTarget,
  { work: { start: base }, pieces, buffer }: Prepared,
): Promise<void> {
  for (const { start, end, level } of pieces) {
    if (level === undefined) buffer.fill(0, start - base, end - base)
  }
  for (const { start, end } of joinPieces(pieces, 0)) {
    const bytes = buffer.subarray(start - base, end - base)
    if (isZero(bytes)) await ensureZero(target, start, end)
    else await target.write(bytes, start)
  }
}
