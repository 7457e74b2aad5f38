import type { Disk, RandomAccessReader } from '@disk-image/core'
import { createBlockDisk } from '../blocks/block-disk.ts'
import { type BlockMap, holeBlock } from '../blocks/block-map.ts'
import { openBlockStream } from '../blocks/block-stream.ts'
import { createEntryTable } from '../blocks/entry-table.ts'
import { refuse, requireSound } from '../errors.ts'
import { ImageFile, type OpenDiskOptions } from '../image-file.ts'
import { planLayout, type StreamFormat } from '../stream/stream-decoder.ts'
import {
  parallelsHeaderBytes,
  type ParallelsLayout,
  parseParallels,
  startsAsParallels,
  startsAsParallelsExtension,
} from './parallels-layout.ts'

const extensionHeaderBytes = 24

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
  const file = new ImageFile(reader, 'parallels')
  const layout = await readLayout(file)
  return { layout, ...createBlockDisk(file, createParallelsBlocks(file, layout), options.signal) }
}

/** A Parallels image that comes as a stream. */
export const parallelsStream: StreamFormat<ParallelsLayout> = {
  plan: (head, options) => planLayout(parseParallels(head), options, 'clean'),
  open: (layout, options) => {
    const openBlocks = async (file: ImageFile): Promise<BlockMap> =>
      createParallelsBlocks(file, await readLayout(file))
    return openBlockStream(layout, openBlocks, options)
  },
}

async function readLayout(file: ImageFile): Promise<ParallelsLayout> {
  const head = await file.readBytes(0, parallelsHeaderBytes, 'the header')
  if (!startsAsParallels(head)) {
    refuse('parallels-header', 'this is no Parallels disk', {
      offset: 0,
      accepted: 'WithoutFreeSpace or WithouFreSpacExt',
    })
  }
  const layout = parseParallels(head)
  requireSound(layout, 'clean')
  file.requireInside(layout.tableOffset, layout.entries * 4, 'the allocation table')
  // It lies behind the data.
  if (layout.extensionSector !== 0n && file.isWhole) await checkExtension(file, layout)
  return layout
}

function createParallelsBlocks(file: ImageFile, layout: ParallelsLayout): BlockMap {
  const { sizeBytes, clusterBytes: blockBytes, placeUnitBytes, tableOffset, entries } = layout
  const tableEnd = tableOffset + entries * 4
  const extension = Number(layout.extensionSector) * 512

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

  return {
    format: 'parallels',
    sizeBytes,
    blockBytes,
    isCompressed: false,
    placeUnitBytes,
    placesFrom: 0,
    // Each place is compared with the table where it is read.
    reserved: extension === 0 ? [] : [{ offset: extension, length: blockBytes }],
    load: createEntryTable(file, { offset: tableOffset, blocks: Math.ceil(sizeBytes / blockBytes) }, placeOf),
  }
}

/** What it has is about backups, and no part of the disk. Readers give up on one that is damaged. */
async function checkExtension(
  file: ImageFile,
  { extensionSector, clusterBytes: length }: ParallelsLayout,
): Promise<void> {
  const offset = Number(extensionSector) * 512
  // A cluster can have a GiB, so it is read in parts.
  const { createHash } = process.getBuiltinModule('node:crypto')
  const hash = createHash('md5')
  const head = await file.readBytes(offset, extensionHeaderBytes, 'the format extension')
  const bytes = new Uint8Array(Math.min(length, 1024 ** 2))
  for (let at = extensionHeaderBytes; at < length; at += bytes.length) {
    const part = bytes.subarray(0, Math.min(bytes.length, length - at))
    file.requireInside(offset + at, part.length, 'the format extension')
    await file.fill(offset + at, part)
    hash.update(part)
  }
  if (startsAsParallelsExtension(head) && hash.digest().equals(head.subarray(8))) return
  refuse('parallels-header', 'the format extension is not where the header says, or damaged', {
    offset,
    accepted: 'a cluster with the magic of an extension and its MD5',
  })
}
