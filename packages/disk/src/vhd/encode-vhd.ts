import { type CallOptions, type Disk, type EncodedImage, InvalidError, type Target } from '@disk-image/core'
import { isZero } from '@disk-image/io'
import { blockParts, diskParts } from '../encode/block-parts.ts'
import { DataMap } from '../encode/data-map.ts'
import type { EncodeOptions, VhdEncodeOptions } from '../encode/encode-options.ts'
import { identityOf } from '../encode/identity.ts'
import { type FilePart, imageOfParts, type SizedImage } from '../encode/image-of-parts.ts'
import { viewOf } from '../layouts/fields.ts'
import { storedDisk } from '../raw/stored-disk.ts'
import { markSectors } from './chain-disk.ts'
import {
  checksum,
  epochSeconds,
  footerBytes,
  formatUuid,
  maximumDiskBytes,
  roundUp,
  sectorBytes,
} from './footer.ts'
import {
  type BlockAllocator,
  createBlockAllocator,
  defaultBlockBytes,
  layOut,
  type NewDiskMetadata,
} from './new-disk.ts'
import { unallocated } from './table.ts'

/** Bytes of a block's bitmap. */
const bitmapBytes: number = defaultBlockBytes / sectorBytes / 8

/** Lays a disk out as a VHD, `dynamic` or `fixed`. */
export async function encodeVhd(disk: Disk, options: EncodeOptions): Promise<EncodedImage> {
  const { subformat = 'dynamic', vpc = {} } = options
  if (subformat === 'dynamic') return encodeDynamicVhd(disk, await mapVhdBlocks(disk, options), vpc)
  if (subformat === 'fixed') return encodeFixedVhd(disk, vpc)
  throw new InvalidError({ reason: `a VHD is written as dynamic or fixed, not as ${subformat}` })
}

/** Which blocks of a disk are in its dynamic VHD. */
export function mapVhdBlocks(disk: Pick<Disk, 'size' | 'extents'>, options: CallOptions): Promise<DataMap> {
  return DataMap.read(disk, defaultBlockBytes, options)
}

/** A dynamic VHD: its tables, then the blocks of its map in order, each whole. */
export function encodeDynamicVhd(disk: Disk, map: DataMap, options: VhdEncodeOptions): SizedImage {
  const { metadata, sizeBytes } = newDynamicVhd(disk.size, options)
  const allocate = (): BlockAllocator =>
    createBlockAllocator(metadata.bytes.length, bitmapBytes, defaultBlockBytes)
  const tables = (): Uint8Array => {
    const allocator = allocate()
    const table = new Uint32Array(metadata.entries).fill(unallocated)
    for (const { first, count } of map.runs()) {
      for (let block = first; block < first + count; block += 1) {
        table[block] = allocator.next() / sectorBytes
      }
    }
    return fillTables(metadata, table, sizeBytes)
  }
  return imageOfParts({
    format: 'vpc',
    sizeBytes: allocate().endAfter(map.count) + footerBytes,
    async *parts(call) {
      yield tables()
      const allocator = allocate()
      const leadOf = (block: number): readonly FilePart[] => {
        const end = allocator.end()
        return [allocator.next() - end, blockBitmap(block, sizeBytes)]
      }
      yield* blockParts(storedDisk(disk), { map, blockBytes: defaultBlockBytes, leadOf }, call)
      yield metadata.footer
    },
  })
}

/** A fixed VHD: the disk's bytes, zeros up to a multiple, and a footer, without which it is none. */
export function encodeFixedVhd(disk: Disk, options: VhdEncodeOptions): SizedImage {
  const { sizeBytes, footer } = fixedVhd(disk.size, options)
  return imageOfParts({
    format: 'vpc',
    sizeBytes: sizeBytes + footerBytes,
    isToldByEnd: true,
    async *parts(call) {
      yield* diskParts(storedDisk(disk), sizeBytes, call)
      yield footer
    },
  })
}

/** Size and footer of a fixed VHD for a disk of so many bytes. @throws {InvalidError} */
export function fixedVhd(
  diskBytes: number,
  { alignBytes = sectorBytes, style = 'windows', ...identity }: VhdEncodeOptions,
): { readonly sizeBytes: number; readonly footer: Uint8Array } {
  const sizeBytes = roundUp(diskBytes, alignBytes)
  if (!(alignBytes >= footerBytes && alignBytes % footerBytes === 0) || sizeBytes > maximumDiskBytes) {
    throw new InvalidError({
      reason: `alignBytes is ${alignBytes}; a multiple of 512 that keeps the disk below 2040 GiB is right`,
    })
  }
  const { footer } = layOut({ type: 'fixed', style, sizeBytes, ...originOf('fixed', sizeBytes, identity) })
  return { sizeBytes, footer }
}

function newDynamicVhd(
  diskBytes: number,
  { style = 'xenserver', ...identity }: VhdEncodeOptions,
): { readonly metadata: NewDiskMetadata; readonly sizeBytes: number } {
  const sizeBytes = roundUp(diskBytes, sectorBytes)
  if (sizeBytes > maximumDiskBytes) {
    throw new InvalidError({ reason: `a VHD holds at most 2040 GiB, not ${diskBytes} bytes` })
  }
  const origin = originOf('dynamic', sizeBytes, identity)
  return { metadata: layOut({ type: 'dynamic', sizeBytes, style, ...origin }), sizeBytes }
}

/** What makes two disks of the same content differ: as little as the caller wants. */
function originOf(
  type: string,
  sizeBytes: number,
  { uniqueId, createdMs = epochSeconds * 1000 }: VhdEncodeOptions,
): { readonly uniqueId: string; readonly createdMs: number } {
  return { uniqueId: formatUuid(identityOf(uniqueId, 'vhd', type, sizeBytes)), createdMs }
}

/** The bitmap of a block that is written whole; behind the end of the disk there are no sectors. */
function blockBitmap(block: number, sizeBytes: number): Uint8Array {
  const bitmap = new Uint8Array(bitmapBytes)
  markSectors(bitmap, 0, Math.min(defaultBlockBytes, sizeBytes - block * defaultBlockBytes))
  return bitmap
}

/** A new disk's metadata with its table filled, and its batmap: but for the last, our blocks are full. */
function fillTables(
  { bytes, tableOffset, batmapOffset }: NewDiskMetadata,
  table: Uint32Array,
  sizeBytes: number,
): Uint8Array {
  const filled = Uint8Array.from(bytes)
  const view = viewOf(filled)
  for (const [index, entry] of table.entries()) view.setUint32(tableOffset + index * 4, entry)
  if (batmapOffset === undefined) return filled
  const map = filled.subarray(batmapOffset + sectorBytes)
  for (const [index, entry] of table.entries()) {
    const isFull = (index + 1) * defaultBlockBytes <= sizeBytes
    if (entry !== unallocated && isFull) map[index >> 3] = (map[index >> 3] as number) | (0x80 >> (index & 7))
  }
  view.setUint32(batmapOffset + 24, checksum(map))
  return filled
}

/** Writes a disk's bytes as they come, in order, as the same dynamic VHD. Blocks of zeros are left out. */
export class DynamicVhdWriter {
  readonly #target: Pick<Target, 'write'>
  readonly #disk: NewDiskMetadata
  readonly #table: Uint32Array
  readonly #allocator: BlockAllocator
  readonly #buffer: Uint8Array = new Uint8Array(bitmapBytes + defaultBlockBytes)
  readonly #sizeBytes: number
  #block = 0
  #dirty = false

  constructor(target: Pick<Target, 'write'>, diskBytes: number, options: VhdEncodeOptions) {
    const { metadata, sizeBytes } = newDynamicVhd(diskBytes, options)
    this.#target = target
    this.#sizeBytes = sizeBytes
    this.#disk = metadata
    this.#table = new Uint32Array(metadata.entries).fill(unallocated)
    this.#allocator = createBlockAllocator(metadata.bytes.length, bitmapBytes, defaultBlockBytes)
  }

  /** Takes data; offsets only rise. What is left out reads as zero. */
  async data(offset: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const block = Math.floor((offset + at) / defaultBlockBytes)
      if (block !== this.#block) await this.#flush(block)
      const inBlock = offset + at - block * defaultBlockBytes
      const part = bytes.subarray(at, at + defaultBlockBytes - inBlock)
      this.#buffer.set(part, bitmapBytes + inBlock)
      this.#dirty = true
      at += part.length
    }
  }

  /**
   * Writes the footer, and last the start, without which the file is no disk.
   *
   * @param sync makes durable what was written
   * @returns bytes of the file
   */
  async end(sync: () => Promise<void>): Promise<number> {
    await this.#flush(0)
    await this.#target.write(this.#disk.footer, this.#allocator.end())
    await sync()
    await this.#target.write(fillTables(this.#disk, this.#table, this.#sizeBytes), 0)
    await sync()
    return this.#allocator.end() + footerBytes
  }

  async #flush(next: number): Promise<void> {
    const data = this.#buffer.subarray(bitmapBytes)
    if (this.#dirty && !isZero(data)) {
      const start = this.#allocator.next()
      this.#table[this.#block] = start / sectorBytes
      this.#buffer.set(blockBitmap(this.#block, this.#sizeBytes))
      await this.#target.write(this.#buffer, start)
      data.fill(0)
    }
    this.#dirty = false
    this.#block = next
  }
}
