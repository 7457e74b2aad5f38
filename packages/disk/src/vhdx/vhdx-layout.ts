import { MiB, type RandomAccessReader } from '@disk-image/core'
import type { FileRange } from '../blocks/block-map.ts'
import { refuse } from '../disk-format-error.ts'
import { ImageFile } from '../image-file.ts'
import { identityAt, readVhdxRegions, startsWith } from './vhdx-regions.ts'

const tableBytes = 64 * 1024
const mostItems = 2047
const mostDiskBytes = 64 * 1024 ** 4

/** Identities, in the byte order of the file. */
const fileParameters = '3767a1ca36fa434db3b633f0aa44e76b'
const virtualDiskSize = '2442a52f1bcd7648b2115dbed83bf4b8'
const logicalSectorSize = '1dbf41816fa90947ba47f233a8faab5f'
const parentLocator = '2d5fd3a80bb34d45abf7d3d84834ab0c'
const page83 = 'ab12cabee6b2234593efc309e000c746'
const physicalSectorSize = 'c748a3cd5d4471449cc9e9885251c556'
const knownItems = new Set([
  fileParameters,
  virtualDiskSize,
  logicalSectorSize,
  parentLocator,
  page83,
  physicalSectorSize,
])

/** What one parse of a VHDX's header, regions and metadata yields. Offsets and sizes in bytes. */
export interface VhdxLayout {
  readonly format: 'vhdx'
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly sectorBytes: 512 | 4096
  /** Payload blocks between two entries for sector bitmaps. */
  readonly blocksPerRun: number
  /** The block allocation table. */
  readonly tableOffset: number
  /** Header section, log and regions: no block is there. */
  readonly reserved: readonly FileRange[]
}

/**
 * Reads header, region table and metadata of a dynamic or fixed VHDX.
 *
 * @throws {DiskFormatError} where the log has to be replayed, the disk has a parent, or a bound is broken
 * @see Microsoft, [MS-VHDX], 2.2 "Header Section" and 2.6 "Metadata Region"
 */
export async function readVhdxLayout(reader: RandomAccessReader): Promise<VhdxLayout> {
  const file = new ImageFile(reader, 'vhdx')
  const { bat, metadata, reserved } = await readVhdxRegions(file)
  const items = await readItems(file, metadata)
  const item = async (identity: string, length: number): Promise<DataView> => {
    const place = items.get(identity)
    if (place === undefined || place.length !== length) {
      return refuse('vhdx-metadata', 'an item that every VHDX must have is missing or has the wrong length', {
        found: place === undefined ? `no item ${identity}` : `${place.length} bytes`,
        offset: metadata.offset,
        accepted: `${length} bytes`,
      })
    }
    return file.read(metadata.offset + place.offset, length, 'the metadata')
  }
  const parameters = await item(fileParameters, 8)
  if ((parameters.getUint32(4, true) & 2) !== 0 || items.has(parentLocator)) {
    refuse('vhdx-parent', 'the image is a differencing disk, whose parent holds a part of the disk', {
      offset: metadata.offset,
      accepted: 'a dynamic or fixed disk',
    })
  }
  const blockBytes = parameters.getUint32(0, true)
  const sizeBytes = Number((await item(virtualDiskSize, 8)).getBigUint64(0, true))
  const sectorBytes = (await item(logicalSectorSize, 4)).getUint32(0, true)
  // Readers give up without them.
  await item(physicalSectorSize, 4)
  await item(page83, 16)
  const blocksPerRun = (sectorBytes * 2 ** 23) / blockBytes
  const blocks = Math.ceil(sizeBytes / blockBytes)
  if (
    (sectorBytes !== 512 && sectorBytes !== 4096) ||
    blockBytes < MiB ||
    blockBytes > 256 * MiB ||
    !Number.isInteger(Math.log2(blockBytes)) ||
    sizeBytes < 1 ||
    sizeBytes > mostDiskBytes ||
    sizeBytes % sectorBytes !== 0 ||
    (blocks + Math.floor((blocks - 1) / blocksPerRun)) * 8 > bat.length
  ) {
    return refuse('vhdx-size', "sectors, blocks, table and size of the disk don't fit together", {
      found: `${sizeBytes} bytes in blocks of ${blockBytes}, sectors of ${sectorBytes}, a table of ${bat.length}`,
      offset: metadata.offset,
      accepted:
        'sectors of 512 or 4096 bytes, blocks of 1 to 256 MiB, at most 64 TiB, all of it in the table',
    })
  }
  return Object.freeze({
    format: 'vhdx',
    sizeBytes,
    blockBytes,
    sectorBytes,
    blocksPerRun,
    tableOffset: bat.offset,
    reserved,
  })
}

async function readItems(file: ImageFile, region: FileRange): Promise<ReadonlyMap<string, FileRange>> {
  const wrong = (reason: string, at: number, found: string): never =>
    refuse('vhdx-metadata', reason, {
      offset: region.offset + at,
      found,
      accepted: 'the items of VHDX version 1',
    })
  const view = await file.read(region.offset, tableBytes, 'the metadata')
  const count = view.getUint16(10, true)
  if (!startsWith(view, 'metadata') || count > mostItems)
    wrong('the metadata is damaged', 0, `${count} items`)
  const items = new Map<string, FileRange>()
  for (let index = 0; index < count; index += 1) {
    const entry = 32 + index * 32
    const identity = identityAt(view, entry)
    const item = { offset: view.getUint32(entry + 16, true), length: view.getUint32(entry + 20, true) }
    const empty = item.length === 0 && item.offset === 0
    if (!empty && (item.offset < tableBytes || item.offset + item.length > region.length)) {
      wrong('a metadata item lies outside its region', entry + 16, `${item.length} bytes at ${item.offset}`)
    }
    if (items.has(identity)) wrong('a metadata item is there twice', entry, identity)
    if (!knownItems.has(identity) && (view.getUint32(entry + 24, true) & 4) !== 0) {
      wrong('the image needs a metadata item that is not known', entry, identity)
    }
    items.set(identity, item)
  }
  return items
}
