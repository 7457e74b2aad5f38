import { type CallOptions, ImageUnacceptableError, InvalidError, MiB, toQemuFormat } from '@disk-image/core'
import { resizeVhd } from '@disk-image/vhd'
import type { Services } from '../services/services.ts'
import { withSource, inspectFile } from '../files/file-reader.ts'
import { driverOf } from '../route/formats.ts'

/** Keywords of {@link resizeImage}. */
export interface ResizeImageOptions extends CallOptions {
  /** Through the root helper, where one is configured. @default false */
  readonly runAsRoot?: boolean | undefined
  /** What the disk is. @default what the inspector finds */
  readonly fileFormat?: string | undefined
}

/**
 * Grows a disk. qemu-img is told the format: a raw disk with another format's header in it stays raw. A VHD is grown
 * without it.
 *
 * @throws {ImageUnacceptableError} where what is found is not safe to open, or not what was given
 * @see cinder.image.image_utils.resize_image
 */
export async function resizeImage(
  services: Services,
  source: string,
  sizeBytes: number,
  options: ResizeImageOptions = {},
): Promise<void> {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) {
    throw new InvalidError({
      reason: `The new size must be a whole number of bytes above 0; it is ${sizeBytes}.`,
    })
  }
  await withSource(source, async ({ path }) => {
    const format = await checkFormat(services, path, options.fileFormat || undefined)
    if (format === 'vpc') {
      await growVhd(path, sizeBytes, options)
      return
    }
    await services.qemuImg.resize(path, sizeBytes, {
      format,
      asRoot: options.runAsRoot ?? false,
      signal: options.signal,
    })
  })
}

/** What a disk is opened as. A raw disk is never looked into; any other is, and may name no other file. */
async function checkFormat(services: Services, path: string, claimed: string | undefined): Promise<string> {
  const claimedFormat = claimed === undefined ? undefined : toQemuFormat(claimed)
  if (claimedFormat === 'raw') return claimedFormat
  const inspection = await inspectFile(path)
  const verdict = services.policy.judge({ claimedFormat, inspection })
  if (!verdict.ok) throw new ImageUnacceptableError({ ...verdict, imageId: path })
  return toQemuFormat(driverOf(inspection))
}

async function growVhd(
  source: string,
  sizeBytes: number,
  { signal, onProgress }: CallOptions,
): Promise<void> {
  if (sizeBytes % MiB !== 0) {
    throw new InvalidError({ reason: `A VHD grows by whole MiB; ${sizeBytes} bytes were asked for.` })
  }
  await resizeVhd(source, sizeBytes / MiB, { exact: true, signal, onProgress })
}
