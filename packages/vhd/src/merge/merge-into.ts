import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import {
  type ChainDisk,
  type ChainExtent,
  defaultBlockBytes,
  readExtents,
  readVhdLayout,
  resolveRange,
  unallocated,
  VhdError,
} from '@disk-image/disk/vhd'
import { BufferPool, isZero, prepareAhead } from '@disk-image/io'
import { type FileTarget, ensureZero } from '../files/vhd-file.ts'
import { growDisk } from './grow.ts'
import { mergeBlocks } from './merge-blocks.ts'
import { type MergeOptions, createGate, joinExtents, listWork, type Work } from './work.ts'

/**
 * Merges children, leaf first, into their base, which is grown to the leaf's size where it is smaller. All of
 * them were judged before.
 *
 * @param base the base as it was opened and judged, `target` the same file open for writing
 * @throws {VhdError} rule `no-space`, before anything is written
 */
export async function mergeInto(
  children: readonly ChainDisk[],
  base: ChainDisk,
  target: FileTarget,
  options: MergeOptions,
): Promise<void> {
  const leaf = children[0] as ChainDisk
  options.signal?.throwIfAborted()
  await checkSpace(children, base, target)
  if (base.layout === undefined) {
    if (base.sizeBytes < leaf.sizeBytes) await target.truncate(leaf.sizeBytes)
    await mergeFlat(children, target, base.sizeBytes, options)
    return
  }
  if (base.sizeBytes < leaf.sizeBytes) await growDisk(target, base.layout, leaf.sizeBytes)
  const layout = await readVhdLayout({ ...target, size: await target.currentSize() }, true)
  if (layout.dynamic === undefined) await mergeFlat(children, target, base.sizeBytes, options)
  else await mergeBlocks(children, target, layout, layout.dynamic, options)
}

async function checkSpace(
  children: readonly ChainDisk[],
  base: ChainDisk,
  target: FileTarget,
): Promise<void> {
  if (base.layout?.dynamic === undefined || target.path === undefined) return
  const { table, header, bitmapBytes } = base.layout.dynamic
  const step = header.blockSizeBytes
  let needed = 0
  for (let start = 0; start < (children[0] as ChainDisk).sizeBytes; start += step) {
    const entry = table[start / step]
    if (entry !== undefined && entry !== unallocated) continue
    const end = start + step
    if (children.some((child) => start < child.sizeBytes && child.mayHaveData(start, end))) {
      needed += step + bitmapBytes
    }
  }
  const { bavail, bsize } = await statfs(dirname(target.path))
  if (needed > bavail * bsize) {
    const found = `${bavail * bsize} bytes free, ${needed} needed`
    throw new VhdError({ path: target.path, rule: 'no-space', reason: 'the merged disk may not fit', found })
  }
}

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
async function mergeFlat(
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
