import type { Disk, RandomAccessReader } from '@disk-image/core'
import { createBlockDisk } from '../blocks/block-disk.ts'
import { holeBlock } from '../blocks/block-map.ts'
import { createEntryTable } from '../blocks/entry-table.ts'
import { refuse } from '../disk-format-error.ts'
import { ImageFile } from '../image-file.ts'
import type { OpenDiskOptions } from '../open-disk-options.ts'
import { type ParallelsLayout, readParallelsLayout } from './parallels-layout.ts'

/** The disk of a Parallels image. */
export interface ParallelsDisk extends Disk {
  readonly layout: ParallelsLayout
}

/**
 * Opens a Parallels expanding disk for reading anywhere. Whether its program closed it is for the policy to judge.
 *
 * @throws {DiskFormatError} with the rule that the image breaks, here and on every read
 */
export async function openParallels(
  reader: RandomAccessReader,
  options: OpenDiskOptions = {},
): Promise<ParallelsDisk> {
  options.signal?.throwIfAborted()
  const layout = await readParallelsLayout(reader)
  const file = new ImageFile(reader, 'parallels')
  const {
    sizeBytes,
    clusterBytes: blockBytes,
    placeUnitBytes,
    tableOffset,
    entries,
    extensionOffset,
  } = layout
  const tableEnd = tableOffset + entries * 4

  function placeOf(entry: number, entryOffset: number): number {
    if (entry === 0) return holeBlock
    const place = entry * placeUnitBytes
    if (place >= tableEnd && place < file.sizeBytes) return place
    return refuse('parallels-block-outside-file', 'a cluster lies outside the file, or in its table', {
      found: `entry ${entry}`,
      offset: entryOffset,
      accepted: `a place from ${tableEnd} to ${file.sizeBytes}`,
    })
  }

  const map = {
    format: 'parallels',
    sizeBytes,
    blockBytes,
    compressed: false,
    placeUnitBytes,
    placesFrom: 0,
    // Each place is compared with the table where it is read.
    reserved: extensionOffset === undefined ? [] : [{ offset: extensionOffset, length: blockBytes }],
    load: createEntryTable(file, { offset: tableOffset, blocks: Math.ceil(sizeBytes / blockBytes) }, placeOf),
  }
  return { layout, ...createBlockDisk(file, map, options.signal) }
}
