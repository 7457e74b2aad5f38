import type { Disk, RandomAccessReader } from '@disk-image/core'
import { createBlockDisk } from '../blocks/block-disk.ts'
import { ImageFile } from '../image-file.ts'
import type { OpenDiskOptions } from '../open-disk-options.ts'
import { createVmdkBlocks } from './vmdk-blocks.ts'
import { createGrainReader } from './vmdk-grains.ts'
import { readVmdkLayout, type VmdkLayout } from './vmdk-layout.ts'

/** The disk of a VMDK in one file: monolithicSparse or streamOptimized. */
export interface VmdkDisk extends Disk {
  readonly layout: VmdkLayout
}

/**
 * Opens a VMDK for reading anywhere. Grain tables are read and checked where they are needed.
 *
 * @throws {DiskFormatError} with the rule that the image breaks, here and on every read
 */
export async function openVmdk(reader: RandomAccessReader, options: OpenDiskOptions = {}): Promise<VmdkDisk> {
  options.signal?.throwIfAborted()
  const layout = await readVmdkLayout(reader)
  const file = new ImageFile(reader, 'vmdk')
  const blocks = createVmdkBlocks(file, layout)
  const readRanges = layout.compressed ? createGrainReader(file, layout) : undefined
  return { layout, ...createBlockDisk(file, blocks, options.signal, readRanges) }
}
