import { rm } from 'node:fs/promises'
import {
  type CallOptions,
  type DownloadReport,
  type ImageService,
  type RequestContext,
  toQemuFormat,
  type VerifyPolicy,
} from '@disk-image/core'
import { createInspector } from '@disk-image/format-policy/inspector'
import { openVolume } from '@disk-image/host'
import type { Toolbox } from '../dependencies.ts'
import { checkDestination } from '../pipelines/destination.ts'
import { downloadInto } from '../pipelines/download-into.ts'
import { chooseImageService, type Job, prepareJob } from '../pipelines/job.ts'
import { checkInspection, crossCheck } from '../pipelines/judge.ts'
import { driverOf } from './qemu-info.ts'
import { IntakeSink } from '../sinks/intake-sink.ts'
import { SparseSink } from '../sinks/sparse-sink.ts'

/** Keywords of {@link fetchImage}. The ids are for logs only, as in the original. */
export interface FetchOptions extends CallOptions {
  readonly userId?: string | undefined
  readonly projectId?: string | undefined
  /** @default 'fallback' */
  readonly verify?: VerifyPolicy | undefined
  readonly connections?: number | undefined
}

/**
 * An image's stored bytes into a file or onto a device, as they are. Hash and size are verified; the format
 * is not looked at. After a failure the file is gone, or the device's ends are zeroed.
 *
 * @throws {ImageDownloadFailedError | ImageTooBigError | ImageNotFoundError | ImageNotAuthorizedError}
 * @see cinder.image.image_utils.fetch
 */
export async function fetchImage(
  toolbox: Toolbox,
  context: RequestContext,
  imageService: ImageService | undefined,
  imageId: string,
  path: string,
  options: FetchOptions = {},
): Promise<DownloadReport> {
  const service = chooseImageService(toolbox, imageService)
  await checkDestination(path)
  const volume = await openVolume(path, { imageId, runner: toolbox.runner, signal: options.signal })
  try {
    const sink = new SparseSink(volume, { sparse: true })
    const { signal, onProgress, verify, connections } = options
    const report = await service.download(context, imageId, sink, { signal, onProgress, verify, connections })
    await volume.finish(sink.offset)
    toolbox.logger.info('Image fetched', {
      imageId,
      bytes: report.bytes,
      seconds: report.durationMs / 1000,
      userId: options.userId,
      projectId: options.projectId,
    })
    return report
  } finally {
    await volume.close()
  }
}

/**
 * The same, and looks at what came: format as claimed, safe, no backing or data file, accepted VMDK type. The
 * signature is verified where there is one. What is refused is removed.
 *
 * @throws {ImageUnacceptableError}
 * @see cinder.image.image_utils.fetch_verify_image
 */
export async function fetchVerifyImage(
  toolbox: Toolbox,
  context: RequestContext,
  imageService: ImageService | undefined,
  imageId: string,
  destination: string,
  options: FetchOptions = {},
): Promise<DownloadReport> {
  const job = await prepareJob(
    toolbox,
    { ...options, context, imageService, imageId, volume: destination },
    'fetch',
  )
  const volume = await openVolume(destination, { imageId, runner: toolbox.runner, signal: options.signal })
  const sink = new SparseSink(volume, { sparse: true })
  const intake = new IntakeSink(createInspector(), async (head) => {
    if (job.wrapping === 'none') checkInspection(toolbox, job, head, 'head')
    return sink
  })
  let report: DownloadReport
  try {
    report = (await downloadInto(toolbox, job, intake)).report
    const inspection = await intake.end()
    if (job.wrapping === 'none') checkInspection(toolbox, job, inspection, 'whole')
    await volume.finish(sink.offset)
    if (job.wrapping === 'none')
      await crossCheckFile(toolbox, job, destination, toQemuFormat(driverOf(inspection)), volume.created)
  } finally {
    await volume.close()
  }
  return report
}

async function crossCheckFile(
  toolbox: Toolbox,
  job: Job,
  path: string,
  format: string,
  created: boolean,
): Promise<void> {
  if (format === 'raw' || format === 'vpc') return
  try {
    await crossCheck(toolbox, job, path, format)
  } catch (error) {
    if (created) await rm(path, { force: true })
    throw error
  }
}
