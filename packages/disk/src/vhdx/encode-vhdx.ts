import { type Disk, type EncodedImage, InvalidError, KiB, MiB } from '@disk-image/core'
import { blockParts, diskParts, tableParts } from '../encode/block-parts.ts'
import { DataMap } from '../encode/data-map.ts'
import type { EncodeOptions, VhdxEncodeOptions } from '../encode/encode-options.ts'
import { asGuid, identityOf } from '../encode/identity.ts'
import { imageOfParts } from '../encode/image-of-parts.ts'
import { viewOf } from '../layouts/fields.ts'
import { storedDisk } from '../raw/stored-disk.ts'
import { crc32c } from './crc32c.ts'
import { batRegion, metadataRegion, vhdxHeadBytes } from './vhdx-head.ts'
import {
  fileParameters,
  logicalSectorSize,
  page83,
  physicalSectorSize,
  virtualDiskSize,
} from './vhdx-metadata.ts'

/** The log, which is empty, the metadata, and the table, each in whole MiB. */
const places = { log: MiB, metadata: 2 * MiB, table: 3 * MiB } as const
const itemsOffset = 64 * KiB
const largestDisk = 64 * 1024 ** 4
/** States of a block. A block that is not there would be undefined, so it is said to be zero. */
const zero = 2
const present = 6

interface VhdxShape {
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly logicalSectorBytes: number
  readonly physicalSectorBytes: number
  readonly isFixed: boolean
  readonly blocks: number
  /** Of the block allocation table: after each run of blocks comes one for a bitmap that only deltas have. */
  readonly entries: number
  readonly blocksPerRun: number
  readonly tableBytes: number
  readonly uniqueId: string | undefined
}

/**
 * Lays a disk out as a VHDX, `dynamic` or `fixed`: headers, an empty log, metadata and table, then the blocks in order,
 * each at a whole MiB.
 *
 * @see Microsoft, [MS-VHDX]
 */
export async function encodeVhdx(disk: Disk, options: EncodeOptions): Promise<EncodedImage> {
  const { subformat = 'dynamic' } = options
  if (subformat !== 'dynamic' && subformat !== 'fixed') {
    throw new InvalidError({ reason: `a VHDX is written as dynamic or fixed, not as ${subformat}` })
  }
  const shape = shapeVhdx(disk.size, subformat === 'fixed', options.vhdx ?? {})
  const { blocks, blockBytes, blocksPerRun, isFixed } = shape
  const map = isFixed ? undefined : await DataMap.read(disk, blockBytes, options)
  const dataOffset = places.table + shape.tableBytes
  const { head, metadata } = encodeMetadata(shape)
  return imageOfParts({
    format: 'vhdx',
    sizeBytes: dataOffset + (map?.count ?? blocks) * blockBytes,
    async *parts(call) {
      yield head
      yield places.metadata - head.length
      yield metadata
      yield places.table - places.metadata - metadata.length
      yield* tableParts(shape.tableBytes / 8, 8, (view, at, entry) => {
        const block = entry - Math.floor(entry / (blocksPerRun + 1))
        if (entry >= shape.entries || entry % (blocksPerRun + 1) === blocksPerRun) return false
        const isStored = map?.has(block) ?? true
        const place = dataOffset + (map?.rank(block) ?? block) * blockBytes
        view.setBigUint64(at, isStored ? BigInt(place + present) : BigInt(zero), true)
        return true
      })
      const stored = storedDisk(disk)
      yield* map === undefined
        ? diskParts(stored, blocks * blockBytes, call)
        : blockParts(stored, { map, blockBytes }, call)
    },
  })
}

/** @throws {InvalidError} for an option that the format has not, and a disk that it can't hold */
function shapeVhdx(diskBytes: number, isFixed: boolean, options: VhdxEncodeOptions): VhdxShape {
  const { logicalSectorBytes = 512, physicalSectorBytes = 4096, uniqueId } = options
  const { blockBytes = usualBlockBytes(diskBytes) } = options
  for (const [name, bytes] of Object.entries({ logicalSectorBytes, physicalSectorBytes })) {
    if (![512, 4096].includes(bytes)) {
      throw new InvalidError({ reason: `${name} is ${bytes}; 512 or 4096 is right` })
    }
  }
  if (!Number.isInteger(Math.log2(blockBytes)) || blockBytes < MiB || blockBytes > 256 * MiB) {
    throw new InvalidError({
      reason: `blockBytes is ${blockBytes}; a power of two from 1 to 256 MiB is right`,
    })
  }
  const sizeBytes = Math.ceil(diskBytes / logicalSectorBytes) * logicalSectorBytes
  if (sizeBytes < 1 || sizeBytes > largestDisk) {
    throw new InvalidError({ reason: `a VHDX holds 1 byte to 64 TiB, not ${diskBytes} bytes` })
  }
  const blocks = Math.ceil(sizeBytes / blockBytes)
  const blocksPerRun = (logicalSectorBytes * 2 ** 23) / blockBytes
  const entries = blocks + Math.floor((blocks - 1) / blocksPerRun)
  return {
    sizeBytes,
    blockBytes,
    logicalSectorBytes,
    physicalSectorBytes,
    isFixed,
    blocks,
    entries,
    blocksPerRun,
    tableBytes: Math.ceil((entries * 8) / MiB) * MiB,
    uniqueId,
  }
}

/** As qemu has it: small disks would have nearly all of their few blocks. */
function usualBlockBytes(sizeBytes: number): number {
  if (sizeBytes <= 1024 ** 3) return 8 * MiB
  if (sizeBytes <= 100 * 1024 ** 3) return 16 * MiB
  return sizeBytes <= 32 * 1024 ** 4 ? 32 * MiB : 64 * MiB
}

/** The header section, and table and items of the metadata region. */
function encodeMetadata(shape: VhdxShape): { readonly head: Uint8Array; readonly metadata: Uint8Array } {
  const { sizeBytes, blockBytes, logicalSectorBytes, physicalSectorBytes, isFixed } = shape
  const identity = (use: string, given?: string): Uint8Array =>
    asGuid(identityOf(given, 'vhdx', use, sizeBytes, blockBytes, logicalSectorBytes))
  const head = new Uint8Array(vhdxHeadBytes)
  head.set(Buffer.from('vhdxfile', 'latin1'))
  head.set(Buffer.from('disk-image', 'utf16le'), 8)
  head.set(encodeHeader(1, identity('file'), identity('data')), 64 * KiB)
  head.set(encodeHeader(2, identity('file'), identity('data')), 128 * KiB)
  const regions = encodeRegions(shape.tableBytes)
  head.set(regions, 192 * KiB)
  head.set(regions, 256 * KiB)
  return {
    head,
    metadata: encodeItems([
      [fileParameters, 8, BigInt(blockBytes) | (isFixed ? 1n << 32n : 0n), 4],
      [virtualDiskSize, 8, BigInt(sizeBytes), 6],
      [page83, 16, identity('disk', shape.uniqueId), 6],
      [logicalSectorSize, 4, BigInt(logicalSectorBytes), 6],
      [physicalSectorSize, 4, BigInt(physicalSectorBytes), 6],
    ]),
  }
}

function encodeHeader(sequence: number, fileWrite: Uint8Array, dataWrite: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 * KiB)
  const view = viewOf(bytes)
  bytes.set(Buffer.from('head', 'latin1'))
  view.setBigUint64(8, BigInt(sequence), true)
  bytes.set(fileWrite, 16)
  bytes.set(dataWrite, 32)
  // No log identity: there is nothing to replay.
  view.setUint16(66, 1, true)
  view.setUint32(68, MiB, true)
  view.setBigUint64(72, BigInt(places.log), true)
  view.setUint32(4, crc32c(bytes, 4), true)
  return bytes
}

function encodeRegions(tableBytes: number): Uint8Array {
  const bytes = new Uint8Array(64 * KiB)
  const view = viewOf(bytes)
  bytes.set(Buffer.from('regi', 'latin1'))
  view.setUint32(8, 2, true)
  const regions = [
    [batRegion, places.table, tableBytes],
    [metadataRegion, places.metadata, MiB],
  ] as const
  for (const [index, [identity, offset, length]] of regions.entries()) {
    const at = 16 + index * 32
    bytes.set(Buffer.from(identity, 'hex'), at)
    view.setBigUint64(at + 16, BigInt(offset), true)
    view.setUint32(at + 24, length, true)
    view.setUint32(at + 28, 1, true)
  }
  view.setUint32(4, crc32c(bytes, 4), true)
  return bytes
}

/** @param items flags: 2 of the disk, 4 needed */
function encodeItems(
  items: readonly (readonly [identity: string, length: number, value: bigint | Uint8Array, flags: number])[],
): Uint8Array {
  const bytes = new Uint8Array(itemsOffset + items.length * 16)
  const view = viewOf(bytes)
  bytes.set(Buffer.from('metadata', 'latin1'))
  view.setUint16(10, items.length, true)
  for (const [index, [identity, length, value, flags]] of items.entries()) {
    const at = 32 + index * 32
    const offset = itemsOffset + index * 16
    bytes.set(Buffer.from(identity, 'hex'), at)
    view.setUint32(at + 16, offset, true)
    view.setUint32(at + 20, length, true)
    view.setUint32(at + 24, flags, true)
    if (typeof value === 'bigint') view.setBigUint64(offset, value, true)
    else bytes.set(value, offset)
  }
  return bytes
}
