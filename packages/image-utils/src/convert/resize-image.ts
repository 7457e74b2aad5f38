import { type CallOptions, ImageUnacceptableError, InvalidError, MiB, toQemuFormat } from '@disk-image/core'
import { resizeVhd } from '@disk-image/vhd'
import type { Services } from '../services/services.ts'
import { withSource } from '../files/with-source.ts'
import { driverOf } from '../route/formats.ts'
import { inspectFile } from '../files/file-reader.ts'

/** Keywords of {@link resizeImage}. */
export interface ResizeImageOptions extends CallOptions {
  /** Through the root helper, where one is configured. @default false */
  readonly runAsRoot?: boolean | undefined
  /** What the disk is. @default what the inspector finds, if that is safe */
  readonly fileFormat?: string | undefined
}

/**
 * Grows a disk. qemu-img is told the format: a raw disk with another format's header in it stays raw. A VHD is grown
 * without it.
 *
 * @throws {ImageUnacceptableError} where no format was given and what is found is not safe to open
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
    const format = toQemuFormat(options.fileFormat || (await safeFormat(services, path)))
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

async function safeFormat(services: Services, source: string): Promise<string> {
  const inspection = await inspectFile(source)
  const verdict = services.policy.judge({ inspection })
  if (!verdict.ok) throw new ImageUnacceptableError({ ...verdict, imageId: source })
  return driverOf(inspection)
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
