import type { FileHandle } from 'node:fs/promises'
import {
  type CallOptions,
  type DiskFormat,
  type ImageRecord,
  type ImageService,
  ImageUnacceptableError,
  InvalidError,
  type Refusal,
  type RequestContext,
  toQemuFormat,
  type UploadSource,
  type VerifyPolicy,
} from '@disk-image/core'
import { RateLimiter } from '@disk-image/io'
import { checkConversionAllowed } from '@disk-image/format-policy'
import { inspect } from '@disk-image/format-policy/inspector'
import { chownIfNeeded, type HeldFile, holdToChown } from '@disk-image/host'
import { checkSubformat } from '@disk-image/qemu-img'
import { Cleanup } from '../services/cleanup.ts'
import { type Services, type Throttle, chooseImageService } from '../services/services.ts'
import { driverOf, headBytes, isWrittenByUs, layoutOf } from '../route/formats.ts'
import { chooseRoute, passesOf, type Route, type RouteTarget } from '../route/route.ts'
import { inspectFile, withFileReader, checkUnchanged, withSource } from '../files/file-reader.ts'
import { encodedSource, fileSource, gzipSource, handleSource } from './upload-source.ts'
import { checkContent, checkKey } from '../judge/judge.ts'
import { crossCheck } from '../judge/ask-qemu-img.ts'
import { Stopwatch, observe, type ObservedOperation } from '../telemetry/telemetry.ts'
import { uploadWarnings } from './judge-upload.ts'
import { type DiskFile, openDiskFile } from '../write/disk-file.ts'
import { checkFormatOptions, encodeFor, type FormatOptions } from '../write/encode.ts'
import { writeDisk, type WriteJob } from '../write/write-disk.ts'

/** The image that a volume is uploaded to: Glance's own field names. */
export type TargetImage = Partial<Omit<ImageRecord, 'id'>> & { readonly id: string }

/** What {@link ImageUtils.volumeToImage} is asked to do. */
export interface VolumeToImageRequest extends CallOptions {
  readonly context?: RequestContext | undefined
  readonly imageService?: ImageService | undefined
  /** An image without data, as the image service made it. `disk_format` says what is uploaded. */
  readonly image: TargetImage
  /** Absolute path of a file or block device. */
  readonly volume: string
  /** The same, open; it is read from its start and left open. */
  readonly volumeFd?: FileHandle | undefined
  /** What the volume is: its record's word, never a guess. @default 'raw' */
  readonly volumeFormat?: DiskFormat | undefined
  /** @default false */
  readonly runAsRoot?: boolean | undefined
  /** Compression of a qcow2. @default 'zlib' where the option `imageCompressOnUpload` is on */
  readonly compression?: 'none' | 'zlib' | 'zstd' | undefined
  /** A variant of the image's format: `fixed` of vhd, `streamOptimized` of vmdk … @default as qemu-img makes it */
  readonly diskSubformat?: string | undefined
  /** Options of the format that is written, where an encoder of ours writes it; otherwise they are refused. */
  readonly formatOptions?: FormatOptions | undefined
  readonly storeId?: string | undefined
  readonly baseImageRef?: string | undefined
  /** What is compared after sending; `none` saves hashing. @default 'fallback': size, and the service's hash */
  readonly verify?: VerifyPolicy | undefined
  readonly throttle?: Throttle | undefined
}

/** What {@link ImageUtils.volumeToImage} did. */
export interface VolumeToImageReport {
  readonly imageId: string
  readonly volume: string
  readonly diskFormat: string
  readonly containerFormat: string
  readonly bytesUploaded: number
  /** The image's record afterwards. */
  readonly image: ImageRecord
  /**
   * Why this image would be refused when it is fetched again; empty as a rule. A raw image is what the volume's
   * guest wrote, and that can look like another format, or like an archive.
   */
  readonly warnings: readonly Refusal[]
  /** By stage. */
  readonly durationSeconds: { readonly convert: number; readonly upload: number; readonly total: number }
}

/**
 * A volume, into an image that has no data yet.
 *
 * A volume is what its record says. A raw volume is never looked into for another format: whatever its guest
 * wrote there is uploaded as the bytes that it is.
 *
 * @throws {ImageConversionNotAllowedError | ImageUnacceptableError | ImageTooBigError | ProcessExecutionError}
 */
export function volumeToImage(
  services: Services,
  request: VolumeToImageRequest,
): Promise<VolumeToImageReport> {
  return observe(services, 'volume_to_image', request, async (observed, operation) => {
    const report = await transferHeld(services, observed, operation)
    const { bytesUploaded, diskFormat } = report
    operation.note({ bytesUploaded, format: diskFormat, volumeFormat: request.volumeFormat ?? 'raw' })
    return report
  })
}

/** The volume, or the open handle instead of it, is one and the same file from here on. */
async function transferHeld(
  services: Services,
  request: VolumeToImageRequest,
  operation: ObservedOperation,
): Promise<VolumeToImageReport> {
  const { volume, volumeFd } = request
  request.signal?.throwIfAborted()
  // An open handle may belong to what this process may not open, or even name, itself.
  const name = volumeFd === undefined ? volume : `/proc/self/fd/${volumeFd.fd}`
  const throughRoot = request.runAsRoot === true && services.options.rootHelper.length > 0
  const use = async (held: HeldFile): Promise<VolumeToImageReport> => {
    const report = await transfer(services, { ...request, volume: held.path }, operation, held)
    return { ...report, volume }
  }
  // Root must not give away what a link of somebody else leads to.
  return withSource(name, use, throughRoot && volumeFd === undefined ? holdToChown : undefined)
}

async function transfer(
  services: Services,
  request: VolumeToImageRequest,
  operation: ObservedOperation,
  held: HeldFile,
): Promise<VolumeToImageReport> {
  const stopwatch = new Stopwatch(services.clock, operation)
  const { image, volume, signal } = request
  const imageService = chooseImageService(services, request.imageService)
  const volumeFormat = request.volumeFormat ?? 'raw'
  const diskFormat = image.disk_format ?? 'raw'
  const containerFormat = image.container_format ?? 'bare'
  checkConversionAllowed(image.disk_format, volumeFormat, image.id, {
    disabled: services.options.imageConversionDisable,
    upload: true,
  })
  if (containerFormat === 'compressed' && !services.options.allowCompressionOnImageUpload) {
    throw new InvalidError({
      reason: `Image ${image.id} has container_format 'compressed', which is not allowed for uploads: set allowCompressionOnImageUpload.`,
    })
  }
  checkSubformat(toQemuFormat(diskFormat), request.diskSubformat)
  signal?.throwIfAborted()
  return Cleanup.around(services.logger, async (cleanup) => {
    await makeReadable(services, request, cleanup)
    const judged = await held.stamp()
    const checkVolumeUnchanged = async (): Promise<void> => {
      if (toQemuFormat(volumeFormat) !== 'raw') await checkUnchanged(held, judged, image.id)
    }
    const expect = (route: Route): void => stopwatch.expect(image.id, passesOf(route))
    const formats = { volumeFormat, diskFormat, containerFormat, confirm: checkVolumeUnchanged, expect }
    const source = await stopwatch.time('convert', () => prepareSource(services, request, formats, cleanup))
    await checkVolumeUnchanged()
    const warnings = await uploadWarnings(services, { image, volume, volumeFormat, containerFormat })
    const updated = await stopwatch.time('upload', () =>
      imageService.upload(request.context ?? {}, image.id, limited(source, request, services), {
        storeId: request.storeId,
        baseImageRef: request.baseImageRef,
        verify: request.verify,
        signal,
        onProgress: request.onProgress,
      }),
    )
    await checkVolumeUnchanged()
    return {
      imageId: image.id,
      volume,
      diskFormat,
      containerFormat,
      bytesUploaded: source.size ?? updated.size ?? 0,
      image: updated,
      warnings,
      durationSeconds: {
        convert: stopwatch.seconds('convert'),
        upload: stopwatch.seconds('upload'),
        total: stopwatch.total(),
      },
    }
  })
}

/** The same bytes, no more of them each second than the throttle takes. */
function limited(
  source: UploadSource,
  { throttle, signal }: VolumeToImageRequest,
  services: Services,
): UploadSource {
  const { rateBytesPerSecond } = throttle ?? services.throttle
  if (rateBytesPerSecond === undefined) return source
  return {
    ...source,
    async *open() {
      const limiter = new RateLimiter(rateBytesPerSecond, signal)
      for await (const chunk of source.open()) {
        await limiter.take(chunk.length)
        yield chunk
      }
    },
  }
}

/** With a root helper an unreadable volume changes hands for the time of the upload. */
async function makeReadable(
  services: Services,
  request: VolumeToImageRequest,
  cleanup: Cleanup,
): Promise<void> {
  if (request.volumeFd !== undefined || request.runAsRoot !== true) return
  const { signal } = request
  const owned = await chownIfNeeded(request.volume, { runner: services.runner, signal })
  cleanup.always(() => owned[Symbol.asyncDispose]())
}

interface Formats {
  readonly volumeFormat: string
  readonly diskFormat: string
  readonly containerFormat: string
  /** The last look at the volume, before the image's last byte. */
  readonly confirm: () => Promise<void>
  readonly expect: (route: Route) => void
}

async function prepareSource(
  services: Services,
  request: VolumeToImageRequest,
  formats: Formats,
  cleanup: Cleanup,
): Promise<UploadSource> {
  const judged = await judgeVolume(services, request, formats)
  formats.expect(judged.route)
  const source = await openData(services, request, { ...judged, confirm: formats.confirm }, cleanup)
  return judged.target.compressed ? gzipSource(services, source, request.signal) : source
}

/** The data of the image, before they are compressed. */
async function openData(
  services: Services,
  request: VolumeToImageRequest,
  { disk, route, target, confirm }: JudgedVolume & Pick<Formats, 'confirm'>,
  cleanup: Cleanup,
): Promise<UploadSource> {
  const { volume, volumeFd, signal } = request
  checkFormatOptions(target.format, route.kind === 'encode', request.formatOptions)
  if (route.kind === 'encode' && target.spools !== true) {
    const opened = await openDiskFile(services, disk, { signal })
    cleanup.always(() => opened[Symbol.asyncDispose]())
    const encoded = await encodeFor(services, writeJob(services, request, { route, target }), opened.disk)
    return encodedSource(encoded, signal, confirm)
  }
  if (route.kind !== 'send') {
    return fileSource(await convertVolume(services, request, { disk, route, target }, cleanup), signal)
  }
  return volumeFd === undefined ? fileSource(volume, signal) : handleSource(volumeFd, signal)
}

interface JudgedVolume {
  readonly disk: DiskFile
  readonly route: Route
  readonly target: RouteTarget
}

/** The volume as what is read, a raw one whatever it holds, any other as it was judged; and the way it takes. */
async function judgeVolume(
  services: Services,
  request: VolumeToImageRequest,
  formats: Formats,
): Promise<JudgedVolume> {
  const { image, volume, runAsRoot, signal } = request
  const format = toQemuFormat(formats.volumeFormat)
  const throttle = request.throttle ?? services.throttle
  const target: RouteTarget = {
    name: `image ${image.id}`,
    kind: 'image',
    format: toQemuFormat(formats.diskFormat),
    encodes: isWrittenByUs(formats.diskFormat, request.diskSubformat),
    spools: compressionOf(services, request) !== 'none',
    needsTool: (throttle.prefix ?? []).length > 0,
    writesZeros: false,
    exists: false,
    lengthBytes: 0,
    compressed: formats.containerFormat === 'compressed',
  }
  const source = { sizeBytes: undefined, inFile: true, signed: false, verifyFirst: false, asCinder: false }
  if (format === 'raw') {
    const route = chooseRoute(source, 'none', layoutOf(format), target)
    return { disk: { path: volume, format, virtualSizeBytes: undefined }, route, target }
  }
  const { inspection, head } = await withFileReader(volume, async (reader) => ({
    inspection: await inspect(reader),
    head: await reader.read(0, headBytes),
  }))
  const route = chooseRoute(source, 'none', layoutOf(format, inspection, head), target)
  // It must be what it is said to be, and refer to no other file. An upload has no key to give.
  const hasPassphrase = route.kind === 'send' ? undefined : false
  checkContent(services, image.id, { claimedFormat: format, inspection, hasPassphrase })
  if (route.kind !== 'send') checkKey(image.id, inspection, format)
  const judgedBytes = inspection.virtualSizeBytes
  const question = { imageId: image.id, path: volume, format, judgedBytes, asRoot: runAsRoot, signal }
  const told = route.asksQemuImg ? await crossCheck(services, question) : undefined
  return { disk: { path: volume, format, virtualSizeBytes: told?.virtualSize ?? judgedBytes }, route, target }
}

async function convertVolume(
  services: Services,
  request: VolumeToImageRequest,
  { disk, route, target }: JudgedVolume,
  cleanup: Cleanup,
): Promise<string> {
  const { image } = request
  const temporary = await services.temporaryFiles.file({ prefix: 'vol_upload_' })
  cleanup.always(() => temporary[Symbol.asyncDispose]())
  const job = writeJob(services, request, { route, target })
  const into = { ...job, request: { ...job.request, volume: temporary.path }, temporary: true }
  await writeDisk(services, into, disk, cleanup)
  const format = toQemuFormat(driverOf(await inspectFile(temporary.path)))
  // What a raw volume's guest wrote may look like anything: only of other formats can the result be told.
  if (target.format !== 'raw' && format !== target.format) {
    throw new ImageUnacceptableError({
      imageId: image.id,
      reason: `Converted to ${target.format}, but format is now ${format}`,
      rule: 'upload-format',
    })
  }
  return temporary.path
}

function writeJob(
  services: Services,
  request: VolumeToImageRequest,
  { route, target }: Pick<JudgedVolume, 'route' | 'target'>,
): WriteJob {
  const { image, volume, runAsRoot, signal, onProgress, formatOptions } = request
  return {
    imageId: image.id,
    route,
    target,
    throttle: request.throttle ?? services.throttle,
    needsRoot: false,
    call: { signal, onProgress },
    request: { volume, runAsRoot, volumeSubformat: request.diskSubformat, formatOptions },
    compression: target.format === 'qcow2' ? compressionOf(services, request) : 'none',
  }
}

function compressionOf(
  { options }: Services,
  { image, compression }: VolumeToImageRequest,
): 'none' | 'zlib' | 'zstd' {
  if (toQemuFormat(image.disk_format ?? 'raw') !== 'qcow2') return 'none'
  return compression ?? (options.imageCompressOnUpload ? 'zlib' : 'none')
}
