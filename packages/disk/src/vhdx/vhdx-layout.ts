import { ImageUnacceptableError, MiB, type RandomAccessReader } from '@disk-image/core'

const KiB = 1024
const regionTableOffset = 192 * KiB
const mostEntries = 2047

/** Identities, in the byte order of the file. */
const batRegion = '6677c22d23f600429d64115e9bfd4a08'
const metadataRegion = '06a27c8b90479a4bb8fe575f050f886e'
const fileParameters = '3767a1ca36fa434db3b633f0aa44e76b'
const virtualDiskSize = '2442a52f1bcd7648b2115dbed83bf4b8'
const logicalSectorSize = '1dbf41816fa90947ba47f233a8faab5f'

/** Where the disk of a VHDX lies in its file. */
export interface VhdxLayout {
  readonly sizeBytes: number
  readonly blockBytes: number
  /** Payload blocks between two entries for sector bitmaps. */
  readonly blocksPerRun: number
  /** Byte offset of the block allocation table. */
  readonly tableOffset: number
}

interface Place {
  readonly offset: number
  readonly length: number
}

/** What a reader refuses; the inspector has judged the image before, so this is the second look. */
export function refuseVhdx(imageId: string, reason: string, offset?: number): never {
  throw new ImageUnacceptableError({
    imageId,
    reason: `The VHDX can't be read: ${reason}`,
    rule: 'vhdx',
    offset,
  })
}

/**
 * Reads region table and metadata of a VHDX that the inspector found sound: closed, without a parent.
 *
 * @throws {ImageUnacceptableError} where anything lies outside its place
 * @see Microsoft, [MS-VHDX], 2.2.3 "Region Table" and 2.6 "Metadata Region"
 */
export async function readVhdxLayout(file: RandomAccessReader, imageId: string): Promise<VhdxLayout> {
  const regions = await readEntries(file, imageId, {
    offset: regionTableOffset,
    signature: 'regi',
    countAt: 8,
    first: 16,
  })
  const bat = regions.get(batRegion)
  const metadata = regions.get(metadataRegion)
  if (bat === undefined || metadata === undefined) return refuseVhdx(imageId, 'a region is missing')
  const items = await readEntries(file, imageId, {
    offset: metadata.offset,
    signature: 'metadata',
    countAt: 10,
    first: 32,
  })
  const item = async (identity: string, length: number): Promise<DataView> => {
    const place = items.get(identity)
    if (place === undefined || place.length !== length || place.offset + length > metadata.length) {
      return refuseVhdx(imageId, 'a metadata item is missing or damaged', metadata.offset)
    }
    return viewOf(await readFully(file, imageId, metadata.offset + place.offset, length))
  }
  const parameters = await item(fileParameters, 8)
  const blockBytes = parameters.getUint32(0, true)
  const sizeBytes = Number((await item(virtualDiskSize, 8)).getBigUint64(0, true))
  const sectorBytes = (await item(logicalSectorSize, 4)).getUint32(0, true)
  const blocksPerRun = (sectorBytes * 2 ** 23) / blockBytes
  const sound =
    (parameters.getUint32(4, true) & 2) === 0 &&
    (sectorBytes === 512 || sectorBytes === 4096) &&
    blockBytes >= MiB &&
    blockBytes <= 256 * MiB &&
    Number.isInteger(blocksPerRun) &&
    sizeBytes > 0 &&
    sizeBytes <= 64 * 1024 ** 4 &&
    sizeBytes % sectorBytes === 0
  const blocks = Math.ceil(sizeBytes / blockBytes)
  if (!sound || (blocks + Math.floor((blocks - 1) / blocksPerRun)) * 8 > bat.length) {
    return refuseVhdx(imageId, 'its sizes are none that a disk can have', metadata.offset)
  }
  return { sizeBytes, blockBytes, blocksPerRun, tableOffset: bat.offset }
}

interface EntryTable {
  readonly offset: number
  readonly signature: 'regi' | 'metadata'
  readonly countAt: number
  readonly first: number
}

/** The table of regions, or of metadata items: identity, then where it lies. */
async function readEntries(
  file: RandomAccessReader,
  imageId: string,
  table: EntryTable,
): Promise<ReadonlyMap<string, Place>> {
  const view = viewOf(await readFully(file, imageId, table.offset, 64 * KiB))
  const bytes = Buffer.from(view.buffer, view.byteOffset, view.byteLength)
  const isRegion = table.signature === 'regi'
  const count = isRegion ? view.getUint32(table.countAt, true) : view.getUint16(table.countAt, true)
  if (
    !bytes.subarray(0, table.signature.length).equals(Buffer.from(table.signature)) ||
    count > mostEntries
  ) {
    return refuseVhdx(imageId, 'a table is damaged', table.offset)
  }
  const places = new Map<string, Place>()
  for (let index = 0; index < count; index += 1) {
    const entry = table.first + index * 32
    const identity = bytes.toString('hex', entry, entry + 16)
    const offset = isRegion ? Number(view.getBigUint64(entry + 16, true)) : view.getUint32(entry + 16, true)
    const length = view.getUint32(entry + (isRegion ? 24 : 20), true)
    if (!places.has(identity)) places.set(identity, { offset, length })
  }
  return places
}

/** @throws {ImageUnacceptableError} where the file ends before */
export async function readFully(
  file: RandomAccessReader,
  imageId: string,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  if (!Number.isSafeInteger(offset) || offset + length > file.size) {
    return refuseVhdx(imageId, 'a part of it lies behind its end', file.size)
  }
  const bytes = await file.read(offset, length)
  return bytes.length === length ? bytes : refuseVhdx(imageId, 'the file became shorter', offset)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
