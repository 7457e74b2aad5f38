import { type ChainDisk, type ChainExtent, readExtents, resolveRange } from '@disk-image/disk/vhd'
import { BufferPool, isZero, prepareAhead } from '@disk-image/io'
import { type FileTarget, ensureZero } from '../files/vhd-file.ts'
import { defaultBlockBytes } from '../format/new-disk.ts'
import { createGate } from './gate.ts'
import { joinExtents, listWork, type MergeOptions, type Work } from './work.ts'

interface Prepared {
  readonly work: Work
  readonly extents: readonly ChainExtent[]
  readonly buffer: Uint8Array
}

/**
 * Merges children into a base whose bytes lie where the disk has them: fixed, or raw. Only what the children
 * hide is overwritten, so the chain reads the same at every instant.
 *
 * @param baseBytes size of the base before it was grown
 */
export async function mergeFlat(
  children: readonly ChainDisk[],
  target: FileTarget,
  baseBytes: number,
  { signal, onProgress }: MergeOptions,
): Promise<void> {
  const buffers = new BufferPool({ bufferBytes: defaultBlockBytes, perBlock: 4 })
  const scratch: Uint8Array[] = []
  const works = (): Iterable<Work> => listWork(children, defaultBlockBytes, (start) => start < baseBytes)
  let total = 0
  for (const { start, end } of works()) total += end - start
  const prepare = async (work: Work): Promise<Prepared> => {
    const extents = (await resolveRange(children, work.start, work.end)).filter(({ ended }) => ended)
    const buffer = buffers.acquire()
    await readExtents(children, extents, buffer, work.start, scratch)
    return { work, extents, buffer }
  }
  const gate = createGate(2)
  let completed = 0
  try {
    for await (const prepared of prepareAhead(works(), 2, prepare)) {
      signal?.throwIfAborted()
      await gate.add(async () => {
        await writeExtents(target, prepared)
        buffers.release(prepared.buffer)
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

async function writeExtents(
  target: FileTarget,
  { work: { start: base }, extents, buffer }: Prepared,
): Promise<void> {
  for (const { start, end, level } of extents) {
    if (level === undefined) buffer.fill(0, start - base, end - base)
  }
  for (const { start, end } of joinExtents(extents, 0)) {
    const bytes = buffer.subarray(start - base, end - base)
    if (isZero(bytes)) await ensureZero(target, start, end)
    else await target.write(bytes, start)
  }
}
