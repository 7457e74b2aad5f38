import {
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
import { Cleanup } from '../cleanup.ts'
import type { Toolbox } from '../dependencies.ts'
import { checkDestination } from '../pipelines/destination.ts'
import { explain } from '../pipelines/explain.ts'
import { downloadInto } from '../pipelines/download-into.ts'
import { chooseImageService, prepareJob, routeOf } from '../pipelines/job.ts'
import { checkInspection, crossCheck } from '../pipelines/judge.ts'
import { checkQemuImg } from '../pipelines/needs-qemu-img.ts'
import { warnIfUnverified } from '../pipelines/unverified.ts'
import { driverOf, layoutOf } from '../formats.ts'
import { IntakeSink } from '../sinks/intake-sink.ts'
import { SparseSink } from '../sinks/sparse-sink.ts'

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
  toolbox: Toolbox,
  context: RequestContext,
  imageService: ImageService | undefined,
  imageId: string,
  path: string,
  options: FetchOptions = {},
): Promise<DownloadReport> {
  checkImageId(imageId)
  const service = chooseImageService(toolbox, imageService)
  await checkDestination(path)
  const report = await intoPath(toolbox, imageId, path, options, async (sink) => {
    const { signal, onProgress, verify, connections, preferStores } = options
    return service.download(context, imageId, sink, {
      signal,
      onProgress,
      verify,
      connections,
      preferStores,
    })
  })
  warnIfUnverified(toolbox, imageId, report, options.verify)
  toolbox.logger.info('Image fetched', {
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
  toolbox: Toolbox,
  imageId: string,
  path: string,
  options: Pick<FetchOptions, 'signal' | 'durable'> & Temporary,
  fill: (sink: SparseSink) => Promise<Result>,
  check?: (path: string) => Promise<void>,
): Promise<Result> {
  return Cleanup.around(toolbox.logger, async (cleanup) => {
    const { signal, durable, temporary } = options
    const { runner } = toolbox
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
  toolbox: Toolbox,
  context: RequestContext,
  imageService: ImageService | undefined,
  imageId: string,
  destination: string,
  options: FetchOptions & Temporary = {},
): Promise<DownloadReport> {
  const job = await prepareJob(
    toolbox,
    { ...options, context, imageService, imageId, volume: destination },
    'fetch',
  )
  const claimedFormat = job.claimedFormat ?? 'raw'
  let route = routeOf(job, layoutOf(claimedFormat))
  let format = claimedFormat
  let judgedBytes: number | undefined
  return intoPath(
    toolbox,
    imageId,
    destination,
    options,
    async (sink) => {
      // Whatever is neither raw nor read here is shown to qemu-img when it is there.
      if (route.needsQemuImg) await checkQemuImg(toolbox, job.call.signal)
      const intake = new IntakeSink(createInspector(), async (head) => {
        if (job.container === 'none') checkInspection(toolbox, job, head, 'head')
        return sink
      })
      const { report } = await downloadInto(toolbox, job, intake)
      const inspection = await intake.end()
      if (job.container === 'none') {
        checkInspection(toolbox, job, inspection, 'whole')
        format = toQemuFormat(driverOf(inspection))
        judgedBytes = inspection.virtualSizeBytes
        route = routeOf(job, layoutOf(format, inspection))
      }
      return report
    },
    async (whole) => {
      if (!route.asksQemuImg) return
      const { signal } = options
      await crossCheck(toolbox, { imageId, path: whole, format, judgedBytes, signal })
    },
  ).catch((error: unknown) => {
    throw explain(imageId, error)
  })
}

/** What the operating system failed with while bytes were read or written is a failed download, as in the original. */
function ioError(imageId: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('errno' in error) || !('code' in error) || ImageError.is(error))
    return error
  const reason = `IOError: ${String(error.errno)} ${error.message}`
  return new ImageDownloadFailedError({ imageId, reason, partial: true, cause: error })
}
