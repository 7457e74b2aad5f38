import { type CallOptions, InvalidError, MiB } from '@disk-image/core'
import { maximumDiskBytes, readVhdLayout, roundUp, VhdError } from '@disk-image/disk/vhd'
import { openTarget } from '../files/vhd-file.ts'
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
 * The disk is whole at every instant, so no journal is needed; a run that was cut off may simply be repeated.
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
    const layout = await readVhdLayout(target)
    const { sizeBytes: currentSizeBytes } = layout
    // What a size that is rounded down shows is asked for again: nothing is to change then.
    if (Math.floor(currentSizeBytes / MiB) === sizeMiB) return
    const sizeBytes = exact ? sizeMiB * MiB : roundUp(sizeMiB * MiB, 2 * MiB)
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
