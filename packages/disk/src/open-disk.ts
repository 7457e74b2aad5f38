import { type Disk, InvalidError, type RandomAccessReader } from '@disk-image/core'
import type { OpenDiskOptions } from './image-file.ts'
import { openParallels } from './parallels/open-parallels.ts'
import { openQcow2 } from './qcow2/open-qcow2.ts'
import { openVdi } from './vdi/open-vdi.ts'
import { openVhd } from './vhd/open-vhd.ts'
import { openVhdx } from './vhdx/open-vhdx.ts'
import { openVmdk } from './vmdk/open-vmdk.ts'

/** A format that is read here, in qemu-img's terms: `vpc` is a fixed or dynamic VHD. */
export type ReadableFormat = 'parallels' | 'qcow2' | 'vdi' | 'vhdx' | 'vmdk' | 'vpc'

type OpenReader = (reader: RandomAccessReader, options: OpenDiskOptions) => Promise<Disk>

const readers: Readonly<Record<ReadableFormat, OpenReader>> = {
  parallels: openParallels,
  qcow2: openQcow2,
  vdi: openVdi,
  vhdx: openVhdx,
  vmdk: openVmdk,
  vpc: openVhd,
}

/** Every {@link ReadableFormat}. */
export const readableFormats: readonly ReadableFormat[] = Object.keys(readers) as ReadableFormat[]

/**
 * Opens the disk of an image of a given format, which is never guessed.
 *
 * @throws {InvalidError} for a format that is not read here
 * @throws {DiskFormatError}, {@link Qcow2DecodeError} or {@link VhdError} with the rule that the image breaks, here and on every read
 */
export async function openDisk(
  reader: RandomAccessReader,
  format: ReadableFormat,
  options: OpenDiskOptions = {},
): Promise<Disk> {
  if (!Object.hasOwn(readers, format)) {
    throw new InvalidError({
      reason: `${format as string} is not read here; ${readableFormats.join(', ')} are`,
    })
  }
  return readers[format](reader, options)
}
