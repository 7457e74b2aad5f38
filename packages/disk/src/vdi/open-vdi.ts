import type { Disk, RandomAccessReader } from '@disk-image/core'
import { createBlockDisk } from '../blocks/block-disk.ts'
import { type BlockMap, holeBlock, zeroBlock } from '../blocks/block-map.ts'
import { openBlockStream } from '../blocks/block-stream.ts'
import { createEntryTable } from '../blocks/entry-table.ts'
import { refuse, requireSound } from '../errors.ts'
import { viewOf } from '../layouts/fields.ts'
import { ImageFile, type OpenDiskOptions } from '../image-file.ts'
import { planLayout, type StreamFormat } from '../stream/stream-decoder.ts'
import {
  parseVdi,
  vdiDiscarded,
  vdiFree,
  vdiHeaderBytes,
  type VdiLayout,
  vdiSignature,
} from './vdi-layout.ts'

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
  const file = new ImageFile(reader, 'vdi')
  const layout = await readLayout(file)
  return { layout, ...createBlockDisk(file, createVdiBlocks(file, layout), options.signal) }
}

/** A VDI that comes as a stream. */
export const vdiStream: StreamFormat<VdiLayout> = {
  plan: (head, options) => planLayout(parseVdi(head), options),
  open: (layout, options) => {
    const openBlocks = async (file: ImageFile): Promise<BlockMap> =>
      createVdiBlocks(file, await readLayout(file))
    return openBlockStream(layout, openBlocks, options)
  },
}

async function readLayout(file: ImageFile): Promise<VdiLayout> {
  const head = await file.readBytes(0, vdiHeaderBytes, 'the header')
  if (viewOf(head).getUint32(0x40, true) !== vdiSignature) {
    refuse('vdi-header', 'this is no VDI', { offset: 0x40, accepted: 'the signature 7f 10 da be' })
  }
  const layout = parseVdi(head)
  requireSound(layout)
  const { blockExtraBytes, mapOffset, blocks } = layout
  if (blockExtraBytes !== 0) {
    refuse('vdi-header', 'the blocks have something before their data', {
      found: `${blockExtraBytes} bytes`,
      offset: 0x17c,
      accepted: '0 bytes',
    })
  }
  file.requireInside(mapOffset, blocks * 4, 'the block map')
  return layout
}

function createVdiBlocks(file: ImageFile, layout: VdiLayout): BlockMap {
  const { sizeBytes, blockBytes, mapOffset, dataOffset, blocks } = layout

  function placeOf(entry: number, entryOffset: number): number {
    if (entry === vdiFree) return holeBlock
    if (entry === vdiDiscarded) return zeroBlock
    const place = dataOffset + entry * blockBytes
    if (entry < blocks && place + blockBytes <= file.sizeBytes) return place
    return refuse('vdi-block-outside-file', 'a block lies outside the file', {
      found: `block ${entry}`,
      offset: entryOffset,
      accepted: `a block below ${blocks} that the file has`,
    })
  }

  return {
    format: 'vdi',
    sizeBytes,
    blockBytes,
    isCompressed: false,
    placeUnitBytes: blockBytes,
    placesFrom: dataOffset,
    reserved: [
      { offset: 0, length: vdiHeaderBytes },
      { offset: mapOffset, length: blocks * 4 },
    ],
    load: createEntryTable(file, { offset: mapOffset, blocks: Math.ceil(sizeBytes / blockBytes) }, placeOf),
  }
}
