import type { Disk, RandomAccessReader } from '@disk-image/core'
import { createBlockDisk } from '../blocks/block-disk.ts'
import { holeBlock, zeroBlock } from '../blocks/block-map.ts'
import { createEntryTable } from '../blocks/entry-table.ts'
import { refuse } from '../disk-format-error.ts'
import { ImageFile } from '../image-file.ts'
import type { OpenDiskOptions } from '../open-disk-options.ts'
import { readVdiLayout, type VdiLayout } from './vdi-layout.ts'

const discarded = 0xfffffffe
const free = 0xffffffff

/** The disk of a VDI. */
export interface VdiDisk extends Disk {
  readonly layout: VdiLayout
}

/**
 * Opens a dynamic or fixed VDI for reading anywhere.
 *
 * @throws {DiskFormatError} with the rule that the image breaks, here and on every read
 */
export async function openVdi(reader: RandomAccessReader, options: OpenDiskOptions = {}): Promise<VdiDisk> {
  options.signal?.throwIfAborted()
  const layout = await readVdiLayout(reader)
  const file = new ImageFile(reader, 'vdi')
  const { sizeBytes, blockBytes, mapOffset, dataOffset, blocks } = layout

  function placeOf(entry: number, entryOffset: number): number {
    if (entry === free) return holeBlock
    if (entry === discarded) return zeroBlock
    const place = dataOffset + entry * blockBytes
    if (entry < blocks && place + blockBytes <= file.sizeBytes) return place
    return refuse('vdi-block-outside-file', 'a block lies outside the file', {
      found: `block ${entry}`,
      offset: entryOffset,
      accepted: `a block below ${blocks} that the file has`,
    })
  }

  const map = {
    format: 'vdi',
    sizeBytes,
    blockBytes,
    compressed: false,
    placeUnitBytes: blockBytes,
    placesFrom: dataOffset,
    reserved: [
      { offset: 0, length: 512 },
      { offset: mapOffset, length: blocks * 4 },
    ],
    load: createEntryTable(file, { offset: mapOffset, blocks: Math.ceil(sizeBytes / blockBytes) }, placeOf),
  }
  return { layout, ...createBlockDisk(file, map, options.signal) }
}
