import {
  type CallOptions,
  type Checksum,
  type DiskFormat,
  type ImageMetadata,
  type ImageRecord,
  type ImageService,
  InvalidError,
  type RequestContext,
  type VerifyPolicy,
} from '@disk-image/core'
import { chooseImageService, type Services, type Throttle } from '../services/services.ts'
import { openStream } from '../sources/open-source.ts'
import { type FoundImage, type SourceToImageReport, sourceToImage } from './source-to-image.ts'

/** What {@link ImageUtils.streamToImage} is asked to do. */
export interface StreamToImageRequest extends CallOptions {
  readonly context?: RequestContext | undefined
  /** Where the image is made. @default the one given when the facade was made */
  readonly imageService?: ImageService | undefined
  /** The bytes, read once, from their start to their end: a request's body, a `Readable`, a web stream. */
  readonly body: AsyncIterable<Uint8Array>
  /** Bytes of the body, as its Content-Length says: what comes to another size is refused. @default unknown */
  readonly sizeBytes?: number | undefined
  /** Of the image that is made. */
  readonly name: string
  /** More of its record: visibility, tags, properties. */
  readonly metadata?: ImageMetadata | undefined
  /** What the bytes are claimed to be; what is found must be it. @default what the inspector finds */
  readonly diskFormat?: DiskFormat | undefined
  /** Of an archive (OVA) with several disks the one to take. */
  readonly disk?: string | undefined
  /** What the bytes must be: each is compared before the image has its last byte. */
  readonly checksums?: readonly Checksum[] | undefined
  /** What is compared after sending. @default 'fallback' */
  readonly verifyUpload?: VerifyPolicy | undefined
  readonly storeId?: string | undefined
  readonly throttle?: Throttle | undefined
}

/**
 * A stream into an image that is made for it, judged on its way: its head before the image is made, all of it before
 * its last byte is sent. What it is wrapped in (gzip, xz, an OVA …) is opened. Where it is refused, broken off or
 * cancelled, the image is deleted again; there is no other promise to wait for.
 *
 * @throws {ImageUnacceptableError | ImageDownloadFailedError | InvalidError}
 */
export async function streamToImage(
  services: Services,
  { body, sizeBytes, name, metadata = {}, diskFormat, ...request }: StreamToImageRequest,
): Promise<SourceToImageReport> {
  const { context = {}, signal } = request
  if (typeof (body as Partial<typeof body> | null | undefined)?.[Symbol.asyncIterator] !== 'function') {
    throw new InvalidError({ reason: 'The body must be a stream: an async iterable of Uint8Array.' })
  }
  const imageService = chooseImageService(services, request.imageService)
  let made: ImageRecord | undefined
  const image = async (found: FoundImage): Promise<ImageRecord> => {
    const { diskFormat: disk_format, containerFormat: container_format } = found
    made = await imageService.create(
      context,
      { ...metadata, name, disk_format, container_format },
      { signal },
    )
    return made
  }
  try {
    await using source = await openStream(services, { name, body, sizeBytes }, { diskFormat, signal })
    // Awaited here: it is closed when this returns.
    return await sourceToImage(services, { ...request, imageService, source, diskFormat, image })
  } catch (error) {
    if (made !== undefined) await takeBack(services, imageService, context, made)
    throw error
  }
}

/** Milliseconds that the removal may take: whoever cancels wants it to end. */
const patienceMs = 5000

/** The error that led here says more than one of deleting would. */
async function takeBack(
  { logger }: Services,
  imageService: ImageService,
  context: RequestContext,
  { id }: ImageRecord,
): Promise<void> {
  try {
    // Not with the call's own signal: what is cancelled is taken back, too.
    await imageService.delete(context, id, { signal: AbortSignal.timeout(patienceMs) })
  } catch (error) {
    logger.warn('An image without data could not be deleted again', { imageId: id, error })
  }
}
