import {
  type WritableDiskFormat,
  type CallOptions,
  checkImageId,
  type DownloadReport,
  ImageDownloadFailedError,
  ImageError,
  type ImageService,
  type RequestContext,
  toQemuFormat,
  type VerifyPolicy,
} from '@disk-image/core'
import { createInspector } from '@disk-image/format-policy/inspector'
import { openVolume } from '@disk-image/host'
import { SparseSink } from '@disk-image/io'
import { Cleanup } from '../services/cleanup.ts'
import { type Services, chooseImageService } from '../services/services.ts'
import { checkDestination } from '../write/check-target.ts'
import { checkQemuImg, crossCheck, withImageId } from '../judge/ask-qemu-img.ts'
import { downloadInto, warnIfUnverified } from '../image-to-volume/download-into.ts'
import { imageToVolume } from '../image-to-volume/image-to-volume.ts'
import { prepareJob, routeOf } from '../image-to-volume/job.ts'
import { checkInspection } from '../image-to-volume/check-inspection.ts'
import { driverOf, layoutOf } from '../route/formats.ts'
import { InspectingSink } from '../image-to-volume/inspecting-sink.ts'

/** Keywords of {@link fetchImage}. The ids are for logs only, as in the original. */
export interface FetchOptions extends CallOptions {
  readonly userId?: string | undefined
  readonly projectId?: string | undefined
  /** @default 'fallback' */
  readonly verify?: VerifyPolicy | undefined
  readonly connections?: number | undefined
  /** The stores to read from, in this order, where the image is in several. @default the service's order */
  readonly preferStores?: readonly string[] | undefined
  /** Done when the disk has everything, not only the operating system. @default true */
  readonly durable?: boolean | undefined
}

/** What only this package asks for. */
interface Temporary {
  /** The file is read next, and then removed. */
  readonly temporary?: boolean | undefined
}

/**
 * An image's stored bytes into a file or onto a device, as they are. Hash and size are verified; the format
 * is not looked at. After a failure a new file is gone; of what was there both ends are zeroed.
 *
 * @throws {ImageDownloadFailedError | ImageTooBigError | ImageNotFoundError | ImageNotAuthorizedError}
 * @see cinder.image.image_utils.fetch
 */
export async function fetchImage(
  services: Services,
  context: RequestContext,
  imageService: ImageService | undefined,
  imageId: string,
  path: string,
  options: FetchOptions = {},
): Promise<DownloadReport> {
  checkImageId(imageId)
  const service = chooseImageService(services, imageService)
  await checkDestination(path)
  const report = await intoPath(services, imageId, path, options, async (sink) => {
    const { signal, onProgress, verify, connections, preferStores } = options
    return service.download(context, imageId, sink, {
      signal,
      onProgress,
      verify,
      connections,
      preferStores,
    })
  })
  warnIfUnverified(services, imageId, report, options.verify)
  services.logger.info('Image fetched', {
    imageId,
    bytes: report.bytes,
    seconds: report.durationSeconds,
    userId: options.userId,
    projectId: options.projectId,
  })
  return report
}

/** Fills a file or device, which is finished when the check has nothing against the whole. */
async function intoPath<Result>(
  services: Services,
  imageId: string,
  path: string,
  options: Pick<FetchOptions, 'signal' | 'durable'> & Temporary,
  fill: (sink: SparseSink) => Promise<Result>,
  check?: (path: string) => Promise<void>,
): Promise<Result> {
  return Cleanup.around(services.logger, async (cleanup) => {
    const { signal, durable, temporary } = options
    const { runner } = services
    const volume = await openVolume(path, { imageId, runner, signal, durable, temporary })
    cleanup.always(() => volume.close())
    const sink = new SparseSink(volume, { sparse: true })
    const result = await fill(sink).catch((error: unknown) => {
      throw signal?.aborted === true ? error : ioError(imageId, error)
    })
    await volume.commit(sink.offset, check)
    await volume.close()
    return result
  })
}

/**
 * The same, and looks at what came: format as claimed, safe, no backing or data file, accepted VMDK type. The
 * signature is verified where there is one. Of what is refused nothing is left that could be used.
 *
 * @throws {ImageUnacceptableError}
 * @see cinder.image.image_utils.fetch_verify_image
 */
export async function fetchVerifyImage(
  services: Services,
  context: RequestContext,
  imageService: ImageService | undefined,
  imageId: string,
  destination: string,
  options: FetchOptions & Temporary = {},
): Promise<DownloadReport> {
  const job = await prepareJob(
    services,
    { ...options, context, imageService, imageId, volume: destination },
    'fetch',
  )
  const claimedFormat = job.claimedFormat ?? 'raw'
  let route = routeOf(job, layoutOf(claimedFormat))
  let format = claimedFormat
  let judgedBytes: number | undefined
  return intoPath(
    services,
    imageId,
    destination,
    options,
    async (sink) => {
      // Whatever is neither raw nor read here is shown to qemu-img when it is there.
      if (route.needsQemuImg) await checkQemuImg(services, job.call.signal)
      const intake = new InspectingSink(createInspector(), 0, async (head) => {
        if (job.container === 'none') checkInspection(services, job, head, 'head')
        return sink
      })
      const { report } = await downloadInto(services, job, intake)
      const inspection = await intake.end()
      if (job.container === 'none') {
        checkInspection(services, job, inspection, 'whole')
        format = toQemuFormat(driverOf(inspection))
        judgedBytes = inspection.virtualSizeBytes
        route = routeOf(job, layoutOf(format, inspection))
      }
      return report
    },
    async (whole) => {
      if (!route.asksQemuImg) return
      const { signal } = options
      await crossCheck(services, { imageId, path: whole, format, judgedBytes, signal })
    },
  ).catch((error: unknown) => {
    throw withImageId(imageId, error)
  })
}

/** What the operating system failed with while bytes were read or written is a failed download, as in the original. */
function ioError(imageId: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('errno' in error) || !('code' in error) || ImageError.is(error))
    return error
  const reason = `IOError: ${String(error.errno)} ${error.message}`
  return new ImageDownloadFailedError({ imageId, reason, partial: true, cause: error })
}

/** Keywords of the `fetchTo…` functions. */
export interface FetchToVolumeOptions extends CallOptions {
  readonly volumeSubformat?: string | undefined
  /** For logs only. */
  readonly userId?: string | undefined
  /** For logs only. */
  readonly projectId?: string | undefined
  /** The volume's size in GiB. */
  readonly size?: number | undefined
  /** Through the root helper where the process itself may not. @default true */
  readonly runAsRoot?: boolean | undefined
  /** @default false */
  readonly disableSparse?: boolean | undefined
  /** Done when the disk has everything, not only the operating system. @default true */
  readonly durable?: boolean | undefined
  readonly verify?: VerifyPolicy | undefined
  readonly verifyBeforeWrite?: boolean | undefined
  readonly connections?: number | undefined
  /** The stores to read from, in this order, where the image is in several. @default the service's order */
  readonly preferStores?: readonly string[] | undefined
}

/** A transfer's block size: taken as the original takes it, and not looked at. Ours chooses its own. */
export type BlockSize = string | number

/**
 * An image onto a volume of any format.
 *
 * @see cinder.image.image_utils.fetch_to_volume_format
 */
export async function fetchToVolumeFormat(
  services: Services,
  context: RequestContext,
  imageService: ImageService | undefined,
  imageId: string,
  destination: string,
  volumeFormat: string,
  options: FetchToVolumeOptions = {},
): Promise<void> {
  const { size, runAsRoot = true, userId, projectId, ...rest } = options
  // Of a name that isn't known qemu-img says so, as in the original.
  const known = { volumeFormat: volumeFormat as WritableDiskFormat }
  const request = { ...rest, ...known, context, imageService, imageId, runAsRoot }
  const report = await imageToVolume(services, { ...request, volume: destination, volumeSizeGiB: size }, true)
  services.logger.info('Image written to volume', { ...report, userId, projectId })
}
