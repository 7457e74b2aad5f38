import { ImageUnacceptableError, ProcessExecutionError, type QemuImgInfo } from '@disk-image/core'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { QemuImgOutputError } from '@disk-image/qemu-img'
import type { Toolbox } from '../dependencies.ts'
import type { Job } from './job.ts'

/**
 * Refuses an image for what its bytes are: a format that was not claimed, an unsafe feature, a disk that
 * doesn't fit. With `head` only what can't change any more is judged.
 *
 * @throws {ImageUnacceptableError} with rule, place and what would be accepted
 */
export function checkInspection(
  toolbox: Toolbox,
  job: Job,
  inspection: InspectionResult,
  extent: 'head' | 'whole',
): void {
  // A fixed VHD has its only mark at the end: its head may look like anything.
  if (extent === 'head' && job.claimedFormat === 'vpc' && inspection.format !== 'vhd') return
  toolbox.policy.check(job.imageId, {
    claimedFormat: job.claimedFormat,
    inspection,
    volumeSizeGiB: job.request.volumeSizeGiB,
  })
}

/**
 * Asks qemu-img once what it makes of a file whose format we know, and refuses where the two disagree.
 *
 * @throws {ImageUnacceptableError} also where qemu-img is not installed, saying what to install
 */
export async function crossCheck(
  toolbox: Toolbox,
  job: Job,
  path: string,
  format: string,
): Promise<QemuImgInfo> {
  const info = await askQemuImg(toolbox, job, path, format)
  toolbox.policy.check(job.imageId, {
    claimedFormat: format,
    info,
    volumeSizeGiB: job.request.volumeSizeGiB,
  })
  return info
}

async function askQemuImg(toolbox: Toolbox, job: Job, path: string, format: string): Promise<QemuImgInfo> {
  try {
    return await toolbox.qemuImg.info(path, { format, signal: job.call.signal })
  } catch (error) {
    // It ended by itself: the image is what it can't read. Its limits keep their own names.
    const broke = error instanceof ProcessExecutionError && ['exit', 'signal'].includes(error.endReason)
    if (!broke && !(error instanceof QemuImgOutputError)) throw error
    const said = broke ? error.stderr.trim() || error.shortMessage : error.message
    throw new ImageUnacceptableError({
      imageId: job.imageId,
      reason: `qemu-img can't read it as ${format}: ${said}`,
      rule: 'qemu-img-info',
      accepted: `an image that qemu-img info -f ${format} opens`,
      cause: error,
    })
  }
}

/** The original's refusal where qemu-img is missing, with what to do about it. */
export function qemuImgMissing(imageId: string, cause: unknown): ImageUnacceptableError {
  return new ImageUnacceptableError({
    imageId,
    reason:
      'qemu-img is not installed and image is not of type RAW.  Only RAW images can be used if qemu-img is not installed.',
    rule: 'qemu-img-installed',
    accepted: 'a raw image, or qemu-img: apt-get install qemu-utils',
    cause,
  })
}
