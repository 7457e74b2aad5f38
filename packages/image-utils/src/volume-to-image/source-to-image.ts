import {
  type ByteSink,
  type CallOptions,
  type Checksum,
  type DownloadHash,
  type ImageMetadata,
  type ImageRecord,
  type ImageService,
  InvalidError,
  type Refusal,
  type RequestContext,
  toGlanceFormat,
  toQemuFormat,
  type UploadSource,
  type VerifyPolicy,
} from '@disk-image/core'
import { Unwrapper } from '@disk-image/disk'
import { createInspector, type InspectionResult } from '@disk-image/format-policy/inspector'
import { Channel } from '@disk-image/io'
import { type Downloaded, downloadInto } from '../image-to-volume/download-into.ts'
import { InspectingSink } from '../image-to-volume/inspecting-sink.ts'
import { checkCompression, containerOf, hasSignature } from '../image-to-volume/job.ts'
import { unwrapperOptions } from '../image-to-volume/receive.ts'
import { DiskChoice, expectedOf, type Unwrapped } from '../image-to-volume/unwrap.ts'
import { imagePropertiesOf } from '../ovf/image-properties.ts'
import type { ContainerFormat } from '../route/route.ts'
import type { DescribedSource } from '../sources/sources.ts'
import { checkContent } from '../judge/judge.ts'
import { headBytes } from '../route/formats.ts'
import { chooseImageService, type Services, type Throttle } from '../services/services.ts'
import { withOpenedSource } from '../sources/open-source.ts'
import { Stopwatch, observe, type ObservedOperation } from '../telemetry/telemetry.ts'
import type { TargetImage } from './volume-to-image.ts'

/** What {@link ImageUtils.sourceToImage} is asked to do. */
export interface SourceToImageRequest extends CallOptions {
  readonly context?: RequestContext | undefined
  /** Where the image is made. @default the one given when the facade was made */
  readonly imageService?: ImageService | undefined
  /** Bytes from anywhere, or the word for them, see {@link ImageUtils.openSource}. */
  readonly source: DescribedSource | string
  /**
   * An image without data, or what makes one: it is called when the first bytes have been judged, with what the image
   * is by Glance's names, and before the first of them is sent.
   */
  readonly image: TargetImage | ((found: FoundImage) => Promise<TargetImage>)
  /**
   * What the bytes are claimed to be, by any name of a format, or by one that only the image service knows.
   * @default what the source, or else the inspector says
   */
  readonly diskFormat?: string | undefined
  /**
   * What is sent is wrapped in it, and is sent as it is. For `bare` what the source is wrapped in is opened, unless
   * `inspect` is false or `allowArchivesAsRaw` says that it is the disk. @default 'bare'
   */
  readonly containerFormat?: string | undefined
  /** Of an archive with several disks the one to send: its file's name, its name or its id in the descriptor. */
  readonly disk?: string | undefined
  /** Judge what is sent. @default true for `bare` */
  readonly inspect?: boolean | undefined
  /** What the bytes must be: each is compared before the image has its last byte. */
  readonly checksums?: readonly Checksum[] | undefined
  /** What is demanded of the source's own hash. @default 'fallback' */
  readonly verify?: VerifyPolicy | undefined
  /** What is compared after sending. @default 'fallback' */
  readonly verifyUpload?: VerifyPolicy | undefined
  readonly connections?: number | undefined
  readonly storeId?: string | undefined
  readonly baseImageRef?: string | undefined
  readonly throttle?: Throttle | undefined
}

/** What an image is, by Glance's names. */
export interface FoundFormat {
  readonly diskFormat: string
  readonly containerFormat: string
}

/** What is told of an image before it is made. */
export interface FoundImage extends FoundFormat {
  /** What the descriptor of an OVA says of it, see {@link imagePropertiesOf}; undefined without one. */
  readonly suggested: ImageMetadata | undefined
}

/** What {@link ImageUtils.sourceToImage} did. */
export interface SourceToImageReport extends FoundFormat {
  readonly imageId: string
  /** The source's name. */
  readonly source: string
  readonly bytesUploaded: number
  /** Of the source's bytes, in their envelopes. */
  readonly hash: DownloadHash | undefined
  /** Everything that the source's bytes were compared with. */
  readonly verified: readonly Checksum[]
  /** Absent where it was in no envelope. */
  readonly unwrapped?: Unwrapped | undefined
  /** The image's record afterwards. */
  readonly image: ImageRecord
  /** Above all: that nothing but the size could be verified. */
  readonly warnings: readonly Refusal[]
  readonly durationSeconds: { readonly total: number }
}

/**
 * Bytes from anywhere into an image that has no data yet, in one pass, without a temporary file. The head is judged
 * before the first byte is sent, all of it and its hashes before the last one: the image never becomes active with
 * anything else. Where it fails the image is left without data. What the source is wrapped in is opened on the way, and
 * nothing of it reaches the image.
 *
 * @throws {ImageUnacceptableError | ImageDownloadFailedError | InvalidError}
 */
export function sourceToImage(
  services: Services,
  request: SourceToImageRequest,
): Promise<SourceToImageReport> {
  return observe(services, 'volume_to_image', request, async (observed, operation) => {
    const report = await withOpenedSource(services, observed, ({ source, ...opened }) => {
      if (source === undefined) throw new InvalidError({ reason: 'A source is needed.' })
      return transfer(services, { ...opened, source }, operation)
    })
    operation.note({ bytesUploaded: report.bytesUploaded, format: report.diskFormat })
    return report
  })
}

type OpenedRequest = SourceToImageRequest & { readonly source: DescribedSource }

async function transfer(
  services: Services,
  request: OpenedRequest,
  operation: ObservedOperation,
): Promise<SourceToImageReport> {
  const stopwatch = new Stopwatch(services.clock, operation)
  operation.expect(request.source.stored, 1)
  const { source, containerFormat = 'bare', signal, context = {}, onProgress } = request
  const { stored } = source
  const imageService = chooseImageService(services, request.imageService)
  const channel = new Channel()
  const envelopes = openEnvelopes(services, request)
  let sent:
    | { readonly id: string; readonly format: FoundFormat; readonly upload: Promise<ImageRecord> }
    | undefined
  const judge = createJudge(services, request)
  const sink = new InspectingSink(createInspector(), judge.headBytes, async (head) => {
    const format = { diskFormat: judge.head(head), containerFormat }
    const { image } = request
    const found = { ...format, suggested: envelopes?.suggested() }
    const { id } = typeof image === 'function' ? await image(found) : image
    signal?.throwIfAborted()
    // How much is inside shows its end.
    const size = envelopes === undefined ? stored.sizeBytes : undefined
    const upload = imageService.upload(context, id, readOnce(stored.name, size, channel), {
      storeId: request.storeId,
      baseImageRef: request.baseImageRef,
      verify: request.verifyUpload,
      signal,
      onProgress,
    })
    // Who still writes learns that nobody reads any more.
    upload.catch((error: unknown) => channel.leave(error))
    sent = { id, format, upload }
    return { write: (chunk) => channel.write(chunk), writeAt: (chunk) => channel.write(chunk) }
  })
  const record = source.record ?? { id: stored.name, size: stored.sizeBytes, properties: {} }
  const signed = services.options.verifyGlanceSignatures === 'enabled' && hasSignature(record)
  try {
    const downloaded = await stopwatch.time('upload', async () => {
      const job = { request, context, stored, imageId: stored.name, record, source: { signed } }
      const { throttle = services.throttle } = request
      // In order: the image is sent as it is read.
      const inOrder = { write: (chunk: Uint8Array) => sink.write(chunk) }
      const download = (target: ByteSink): Promise<Downloaded> =>
        downloadInto(services, { ...job, throttle, call: { signal, onProgress } }, target)
      const result = await (envelopes?.open(inOrder, download) ?? download(inOrder))
      judge.whole(await sink.end())
      channel.end()
      return result
    })
    if (sent === undefined) throw new Error('the image was not sent')
    const { id, format, upload } = sent
    const image = await upload
    return {
      imageId: id,
      source: stored.name,
      ...format,
      bytesUploaded: sink.bytes,
      hash: downloaded.report.hash,
      verified: downloaded.report.verified,
      unwrapped: envelopes?.unwrapped(),
      image,
      warnings: downloaded.warnings,
      durationSeconds: { total: stopwatch.total() },
    }
  } catch (error) {
    channel.end(error)
    // It has ended before anybody takes the image back; where it was the first to fail, it says why.
    await sent?.upload.catch(() => undefined)
    throw error
  }
}

/** What a source is wrapped in, and shall be taken out of. */
function containerToOpen(
  services: Services,
  { source, containerFormat = 'bare', inspect = true }: OpenedRequest,
): ContainerFormat {
  const { record, stored, diskFormat, containerFormat: wrapping } = source
  if (containerFormat !== 'bare' || !inspect) return 'none'
  // A registry's layer is no disk by anybody's word.
  if (services.options.allowArchivesAsRaw && wrapping !== 'containerdisk') return 'none'
  const { id, properties } = record ?? { id: stored.name, properties: {} }
  const described = { id, properties, disk_format: diskFormat, container_format: wrapping ?? 'bare' }
  const container = containerOf(described, record !== undefined)
  if (record !== undefined && container === 'compressed') checkCompression(services, record)
  return container === 'xenserver' ? 'none' : container
}

/** What takes the one disk out of the source's envelopes; undefined where it is in none. */
function openEnvelopes(
  services: Services,
  request: OpenedRequest,
):
  | {
      /** Resolves when the whole source has come, and all that was in it was taken. */
      readonly open: (
        sink: ByteSink,
        download: (target: ByteSink) => Promise<Downloaded>,
      ) => Promise<Downloaded>
      readonly suggested: () => ImageMetadata | undefined
      readonly unwrapped: () => Unwrapped
    }
  | undefined {
  const { disk, signal } = request
  const { name: imageId, sizeBytes: size } = request.source.stored
  const container = containerToOpen(services, request)
  if (container === 'none') {
    if (disk === undefined) return undefined
    throw new InvalidError({ reason: `${imageId} is no archive of which a disk could be taken.` })
  }
  let inside: ByteSink | undefined
  const wish = { disk, sink: { write: (chunk: Uint8Array) => inside?.write(chunk) } }
  const choice = new DiskChoice(imageId, [wish])
  const job = {
    imageId,
    container,
    claimedFormat: undefined,
    record: { size },
    request: {},
    call: { signal },
  }
  const unwrapper: Unwrapper = new Unwrapper({
    ...unwrapperOptions(services, job),
    expected: expectedOf(container),
    open: (image) => choice.open(image, unwrapper.ovf),
  })
  const memberOf = (): string | undefined => choice.memberOf(wish) || undefined
  return {
    open: async (sink, download) => {
      inside = sink
      try {
        const downloaded = await download(unwrapper)
        await unwrapper.end()
        choice.end()
        return downloaded
      } finally {
        await unwrapper.close()
      }
    },
    suggested: () => unwrapper.ovf && imagePropertiesOf(unwrapper.ovf, memberOf()),
    unwrapped: () => {
      const { opened, ovf: machine, hasManifest } = unwrapper
      return { opened, disk: memberOf(), machine, hasManifest }
    },
  }
}

/** Judges as a file that becomes an image is judged. */
function createJudge(
  services: Services,
  { source, containerFormat = 'bare', inspect = containerFormat === 'bare', ...request }: OpenedRequest,
): {
  readonly headBytes: number
  /** @returns the image's `disk_format` */
  readonly head: (inspection: InspectionResult) => string
  readonly whole: (inspection: InspectionResult) => void
} {
  const imageId = source.stored.name
  const claimed = request.diskFormat ?? source.diskFormat
  const isClaim = claimed !== undefined && claimed.toLowerCase() !== 'ami'
  let claimedFormat = isClaim ? toQemuFormat(claimed) : undefined
  if (!inspect) {
    if (claimed === undefined) {
      throw new InvalidError({ reason: 'What is not inspected needs a disk format that says what it is.' })
    }
    return { headBytes: 0, head: () => toGlanceFormat(claimed), whole: () => undefined }
  }
  return {
    headBytes: claimedFormat === 'raw' ? 0 : headBytes,
    head: (inspection) => {
      // A fixed VHD has its only mark at the end.
      const isLate = claimedFormat === 'vpc' && inspection.format !== 'vhd'
      if (!isLate) checkContent(services, imageId, { claimedFormat, inspection })
      const found = claimed ?? (inspection.format === 'luks' ? 'raw' : inspection.format)
      // From here on it is that: what only its end shows can change it no more.
      if (claimed === undefined) claimedFormat = toQemuFormat(found)
      return toGlanceFormat(found)
    },
    whole: (inspection) => checkContent(services, imageId, { claimedFormat, inspection }),
  }
}

/** So many bytes wait until everything else is judged and verified. */
const heldBackBytes = 4096

/** What is sent: the channel's bytes, whose last ones go when the channel has ended well. */
function readOnce(name: string, size: number | undefined, channel: Channel): UploadSource {
  let isOpen = false
  return {
    size,
    async *open() {
      if (isOpen)
        throw new InvalidError({ reason: `${name} can be sent once: it is not read a second time.` })
      isOpen = true
      let held: Uint8Array = new Uint8Array(0)
      for await (const chunk of channel) {
        if (chunk.length <= heldBackBytes) {
          const before = held
          held = new Uint8Array(chunk)
          if (before.length > 0) yield before
          continue
        }
        if (held.length > 0) yield held
        const at = chunk.length - heldBackBytes
        // Lent: the next one may be in the same memory.
        held = new Uint8Array(chunk.subarray(at))
        yield chunk.subarray(0, at)
      }
      if (held.length > 0) yield held
    },
  }
}
