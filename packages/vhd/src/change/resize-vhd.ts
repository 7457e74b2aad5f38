import { type CallOptions, InvalidError, MiB } from '@disk-image/core'
import {
  footerBytes,
  maximumDiskBytes,
  readBytes,
  readVhdLayout,
  roundUp,
  VhdError,
  type VhdLayout,
  withSize,
} from '@disk-image/disk/vhd'
import { type FileTarget, openTarget } from '../files/vhd-file.ts'
import { growDisk } from '../merge/grow.ts'

/** Options of {@link resizeVhd}. */
export interface ResizeOptions extends CallOptions {
  /** Whether an odd number of MiB is kept; XenServer's sizes are multiples of 2 MiB. @default false */
  readonly exact?: boolean | undefined
}

/**
 * Makes a disk larger, of any type and creator. What is new reads as zero. Its own size again is fine and
 * changes nothing.
 *
 * The disk is whole at every instant, so no journal is needed. Cut off between its two footers it
 * is refused until the same run is repeated, or a repair has completed it.
 *
 * @param sizeMiB the new size, rounded up to a multiple of 2
 * @throws {InvalidError} where the size is no whole number of MiB up to 2040 GiB
 * @throws {VhdError} rule `shrink` where the disk is larger
 * @see cinder.image.image_utils.resize_vhd
 */
export async function resizeVhd(
  vhdPath: string,
  sizeMiB: number,
  { signal, onProgress, exact = false }: ResizeOptions = {},
): Promise<void> {
  if (!Number.isSafeInteger(sizeMiB) || sizeMiB < 0 || sizeMiB * MiB > maximumDiskBytes) {
    const reason = `sizeMiB is ${sizeMiB}; a whole number from 0 to ${maximumDiskBytes / MiB} is right`
    throw new InvalidError({ reason })
  }
  signal?.throwIfAborted()
  const target = await openTarget(vhdPath)
  try {
    const sizeBytes = exact ? sizeMiB * MiB : roundUp(sizeMiB * MiB, 2 * MiB)
    const layout = await readLayout(target, sizeBytes)
    const { sizeBytes: currentSizeBytes } = layout
    // What a size that is rounded down shows is asked for again: nothing is to change then.
    if (Math.floor(currentSizeBytes / MiB) === sizeMiB) return
    if (sizeBytes < currentSizeBytes) {
      throw new VhdError({
        path: vhdPath,
        rule: 'shrink',
        reason: 'a disk is never made smaller: what it would lose may be in use',
        found: `${currentSizeBytes} bytes`,
        accepted: `${Math.ceil(currentSizeBytes / MiB)} MiB or more`,
      })
    }
    if (sizeBytes > currentSizeBytes) await growDisk(target, layout, sizeBytes)
    onProgress?.({ stage: 'write', completed: sizeBytes, total: sizeBytes, unit: 'bytes' })
  } finally {
    await target.close()
  }
}

/** Of two footers that differ the last one is right where the first is what a run to the same size writes first. */
async function readLayout(target: FileTarget, sizeBytes: number): Promise<VhdLayout> {
  try {
    return await readVhdLayout(target)
  } catch (error) {
    if (!(error instanceof VhdError) || error.rule !== 'footers-differ') throw error
    const layout = await readVhdLayout(target, true)
    const first = await readBytes(target, 0, footerBytes)
    if (Buffer.compare(first, withSize(layout.found.bytes, sizeBytes)) !== 0) throw error
    return layout
  }
}
