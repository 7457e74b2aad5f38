import {
  type CallOptions,
  type Disk,
  type EncodedImage,
  type Extent,
  InvalidError,
  KiB,
} from '@disk-image/core'
import type { EncodeOptions } from './encode/encode-options.ts'
import { concatDisks, type DiskPart } from './blocks/concat-disk.ts'
import { encodeLuks } from './luks/encode-luks.ts'
import { encodeQcow2 } from './qcow2/encode-qcow2.ts'
import { encodeParallels } from './parallels/encode-parallels.ts'
import { encodeRaw } from './raw/encode-raw.ts'
import { encodeVdi } from './vdi/encode-vdi.ts'
import { encodeVhd } from './vhd/encode-vhd.ts'
import { encodeVhdx } from './vhdx/encode-vhdx.ts'
import { encodeVmdk } from './vmdk/encode-vmdk.ts'
import type { FileRange } from './blocks/block-map.ts'
import { openRaw, type RawDisk } from './raw/open-raw.ts'

/** A format that is written here, in qemu-img's terms. */
export type EncodableFormat = 'luks' | 'parallels' | 'qcow2' | 'raw' | 'vdi' | 'vhdx' | 'vmdk' | 'vpc'

/** Options of {@link encodeDisk}. */
export interface EncodeDiskOptions extends EncodeOptions {
  readonly format: EncodableFormat
}

/** Lays a disk out. Its options are judged here, before anything is read. */
export type EncodeFormat = (disk: Disk, options: EncodeOptions) => Promise<EncodedImage>

/** A format is added by a line here. */
const encoders: Readonly<Record<EncodableFormat, EncodeFormat>> = {
  luks: encodeLuks,
  qcow2: encodeQcow2,
  parallels: encodeParallels,
  raw: encodeRaw,
  vdi: encodeVdi,
  vhdx: encodeVhdx,
  vmdk: encodeVmdk,
  vpc: encodeVhd,
}

/** Every {@link EncodableFormat}. */
export const encodableFormats: readonly EncodableFormat[] = Object.keys(encoders) as EncodableFormat[]

/**
 * Lays a disk out as an image file of a format. Where the format lets its length be known before the first byte, the
 * disk's map is read for it.
 *
 * @throws {InvalidError} for a format or an option that is not written here, and for a disk that the format can't hold
 */
export async function encodeDisk(disk: Disk, options: EncodeDiskOptions): Promise<EncodedImage> {
  options.signal?.throwIfAborted()
  if (!Object.hasOwn(encoders, options.format)) {
    throw new InvalidError({
      reason: `${options.format as string} is not written here; ${encodableFormats.join(', ')} are`,
    })
  }
  const known = options.format === 'luks' ? disk : await knowZeros(disk, options)
  return encoders[options.format](growDisk(known, options), options)
}

/** Blocks so small are taken for data where they are stored. */
const fineBlockBytes = 64 * KiB

/**
 * A disk that tells zeros from data. What is stored in large blocks, or all of it as in a fixed VHD, has zeros among
 * its data, which only reading tells. A qcow2's own clusters are as small as those that are written.
 */
async function knowZeros(disk: Disk, { signal }: CallOptions): Promise<Disk> {
  if ('storedExtents' in disk) return disk
  if ('clusterSize' in disk && (disk as { readonly clusterSize: number }).clusterSize <= fineBlockBytes)
    return disk
  return openRaw(disk, { holes: holesOf(disk, signal) })
}

async function* holesOf(disk: Disk, signal: AbortSignal | undefined): AsyncGenerator<FileRange, void, void> {
  for await (const extent of disk.extents({ signal })) if (extent.kind !== 'data') yield extent
}

/** The same disk with zeros behind it, up to the size that is asked for. */
function growDisk(disk: Disk, { sizeBytes = 0, signal }: EncodeOptions): Disk {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
    throw new InvalidError({ reason: `A disk can't have ${sizeBytes} bytes.` })
  }
  if (sizeBytes <= disk.size) return disk
  const size = sizeBytes - disk.size
  const room: DiskPart = {
    size,
    read: (offset, length) => Promise.resolve(new Uint8Array(Math.max(0, Math.min(length, size - offset)))),
    async *extents() {
      yield { offset: 0, length: size, kind: 'hole' }
    },
  }
  const grown = concatDisks([disk, room], signal)
  if (!('storedExtents' in disk)) return grown
  const raw = disk as RawDisk
  function* storedExtents(): Generator<Extent, void, void> {
    yield* raw.storedExtents()
    yield { offset: disk.size, length: size, kind: 'hole' }
  }
  return Object.assign(grown, { storedExtents })
}
