import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type ChainDisk, readVhdLayout, unallocated, VhdError } from '@disk-image/disk/vhd'
import type { FileTarget } from '../files/vhd-file.ts'
import { growDisk } from './grow.ts'
import { mergeBlocks } from './merge-blocks.ts'
import { mergeFlat } from './merge-flat.ts'
import type { MergeOptions } from './work.ts'

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
