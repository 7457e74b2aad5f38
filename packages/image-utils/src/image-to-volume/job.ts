import {
  type CallOptions,
  GiB,
  type ImageRecord,
  ImageUnacceptableError,
  InvalidError,
  type RequestContext,
  type Source,
  checkImageId,
  parseDiskFormat,
  toQemuFormat,
} from '@disk-image/core'
import { planStream } from '@disk-image/disk'
import { checkConversionAllowed, checkVirtualSize } from '@disk-image/format-policy'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { resolvePlace } from '@disk-image/host'
import { checkSubformat } from '@disk-image/qemu-img'
import { isXenserverFormat } from '@disk-image/vhd'
import { isWrittenByUs, layoutOf, luksCipherOf, type RouteLayout } from '../route/formats.ts'
import {
  type ContainerFormat,
  type Route,
  type RouteSource,
  type RouteTarget,
  chooseRoute,
} from '../route/route.ts'
import { chooseImageService, type Services, type Throttle } from '../services/services.ts'
import { checkDestination, checkEncryption, isWritable } from '../write/check-target.ts'
import { checkFormatOptions } from '../write/encode.ts'
import { throughCache } from '../sources/source-cache.ts'
import { type DescribedSource, imageSource, showRecord } from '../sources/sources.ts'
import type { ImageToVolumeOptions } from './request.ts'

/** One transfer, with all that is known before its first byte. */
export interface Job {
  readonly request: OpenedRequest
  readonly context: RequestContext
  /** The bytes as they are stored. */
  readonly stored: Source
  readonly imageId: string
  readonly record: ImageRecord
  readonly container: ContainerFormat
  /** What the record says the image is, in qemu-img's terms; undefined where it says nothing that binds. */
  readonly claimedFormat: string | undefined
  readonly source: RouteSource
  readonly target: RouteTarget
  readonly throttle: Throttle
  /** Whether only the root helper may write the volume. */
  readonly needsRoot: boolean
  /** Where the image was put before, by `TemporaryImages`. */
  readonly heldPath: string | undefined
  readonly call: CallOptions
  /** Told the route, as it becomes known. */
  readonly follow?: ((route: Route) => void) | undefined
}

/** A request whose source is open. */
export interface OpenedRequest extends ImageToVolumeOptions {
  readonly imageId?: string | undefined
  readonly source?: DescribedSource | undefined
}

/** The way that the image of a job takes, as far as it is known. */
export function routeOf(job: Job, layout: RouteLayout, source: Partial<RouteSource> = {}): Route {
  return chooseRoute({ ...job.source, ...source }, job.container, layoutInside(job, layout), job.target)
}

/** A container that is opened is decrypted while it comes onto a raw volume, unless its head says otherwise. */
function layoutInside({ request, target }: Job, layout: RouteLayout): RouteLayout {
  if (request.sourcePassphraseFile === undefined || (request.decrypt !== true && !target.encodes))
    return layout
  if (layout.format === 'luks') return { ...layout, streams: layout.streams && target.format === 'raw' }
  if (layout.format === 'qcow2') return { ...layout, streams: false, reads: true }
  const streams = target.format === 'raw'
  return { format: 'luks', sizeBytes: undefined, streams, reads: true, spools: false }
}

/** What is known of the disk by the first bytes of its image: of a container that is opened, of the disk inside. */
export function layoutOfHead(job: Job, head: InspectionResult, bytes: Uint8Array): RouteLayout {
  const layout = layoutOf(job.claimedFormat, head, bytes)
  if (job.request.decrypt !== true || layout.format === 'qcow2') return layout
  const opened = { format: 'luks', sizeBytes: undefined, streams: false, reads: true }
  if (head.format !== 'luks') return opened
  const fileBytes = job.container === 'none' ? (job.record.size ?? undefined) : undefined
  const plan = planStream('luks', bytes, { fileBytes })
  if (!plan.supported) return opened
  return { ...opened, sizeBytes: plan.sizeBytes, streams: true, spools: false, stream: plan }
}

/** Reads the image's record, and refuses what can be refused before anything is downloaded. */
export async function prepareJob(
  services: Services,
  request: OpenedRequest,
  purpose: 'volume' | 'fetch' | 'plan' = 'volume',
  asCinder = false,
): Promise<Job> {
  const { signal, onProgress, writeRight } = request
  const call: CallOptions = { signal, onProgress, writeRight }
  const context = request.context ?? {}
  checkVolumeSize(request.volumeSizeGiB)
  request.signal?.throwIfAborted()
  const needsRoot = await needsRootHelper(services, request)
  if (!needsRoot && request.target === undefined) await checkDestination(request.volume)
  const opened = await openStored(services, request, purpose)
  const { record, heldPath, imageId } = opened
  const { cache } = request
  const stored = cache === undefined ? opened.stored : throughCache(opened.stored, cache, services.logger)
  if (!asCinder && request.volumeFormat !== undefined) parseDiskFormat(request.volumeFormat, 'write')
  const volumeFormat = toQemuFormat(request.volumeFormat ?? 'raw')
  const encodes = encodesFor(request, volumeFormat)
  if (request.target !== undefined && ((volumeFormat !== 'raw' && !encodes) || purpose !== 'volume')) {
    throw new InvalidError({ reason: `${request.volume} can't be given ${volumeFormat} from start to end.` })
  }
  if (purpose !== 'fetch') {
    const { passphraseFile, sourcePassphraseFile, decrypt } = request
    checkEncryption({ volumeFormat, passphraseFile, sourcePassphraseFile, decrypt })
    checkSubformat(volumeFormat, request.volumeSubformat)
    checkFormatOptions(volumeFormat, encodes && !needsRoot, request.formatOptions)
  }
  if (purpose === 'volume') {
    checkConversionAllowed(record.disk_format, request.volumeFormat ?? 'raw', imageId, {
      disabled: services.options.imageConversionDisable,
    })
    if (isOfService(request)) checkCompression(services, record)
  }
  const throttle = request.throttle ?? services.throttle
  const claimedFormat = claimOf(record)
  const container = containerOf(record, isOfService(request))
  const signed = services.options.verifyGlanceSignatures === 'enabled' && hasSignature(record)
  const job: Job = {
    request,
    context,
    stored,
    imageId,
    record,
    container,
    claimedFormat,
    source: {
      sizeBytes: record.size ?? undefined,
      inFile: heldPath !== undefined,
      signed,
      verifyFirst: request.verifyBeforeWrite ?? signed,
      asCinder,
    },
    target: {
      name: request.volume,
      kind: purpose === 'fetch' ? 'copy' : 'volume',
      format: volumeFormat,
      encodes,
      inOrder: request.target !== undefined,
      needsTool: request.target === undefined && (needsRoot || (throttle.prefix ?? []).length > 0),
      writesZeros: request.disableSparse === true,
      ...(await measureTarget(request, asCinder)),
      compressed: false,
    },
    throttle,
    needsRoot,
    heldPath,
    call,
  }
  if (purpose !== 'plan') checkRawFits(job)
  return job
}

/** Where the bytes are, and what is said of them: by a service's record, or by the caller. */
async function openStored(
  services: Services,
  request: OpenedRequest,
  purpose: 'volume' | 'fetch' | 'plan',
): Promise<Pick<Job, 'heldPath' | 'imageId' | 'record' | 'stored'>> {
  const { context = {}, source, signal } = request
  if (source !== undefined) {
    const { stored, record: recorded, looksRaw = false, containerFormat } = source
    const diskFormat = source.diskFormat ?? (looksRaw ? 'raw' : undefined)
    const imageId = request.imageId ?? recorded?.id ?? stored.name
    if (recorded !== undefined) return { stored, record: recorded, heldPath: undefined, imageId }
    const formats = { disk_format: diskFormat, container_format: containerFormat ?? 'bare' }
    const record = { id: imageId, status: 'active', size: stored.sizeBytes, properties: {}, ...formats }
    return { stored, record, heldPath: undefined, imageId }
  }
  const { imageId } = request
  checkImageId(imageId)
  const imageService = chooseImageService(services, request.imageService)
  if (purpose !== 'plan') imageService.prepareDownload?.()
  const record = await showRecord(imageService, context, imageId, { signal })
  // What was put there before was not compared with what is demanded now.
  const isDemanded = (request.checksums ?? []).length > 0
  const isHeld = containerOf(record, true) === 'none' && purpose !== 'fetch' && !isDemanded
  const heldPath = isHeld
    ? services.temporaryImages.forImageService(imageService).get(context, imageId)
    : undefined
  return { stored: imageSource(imageService, context, record), record, heldPath, imageId }
}

/** Whether an encoder of ours makes what is asked for. */
function encodesFor(request: OpenedRequest, volumeFormat: string): boolean {
  const { volumeSubformat = '', disableSparse, cipherSpec } = request
  if (volumeFormat === 'luks') return volumeSubformat === '' && luksCipherOf(cipherSpec) !== undefined
  return isWrittenByUs(volumeFormat, volumeSubformat, disableSparse)
}

/** What is there, and how long a file becomes: what stays encrypted is as large as it is, and a device, too. */
async function measureTarget(
  { volume, target, volumeSizeGiB = 0, sourcePassphraseFile, decrypt = false }: OpenedRequest,
  asCinder: boolean,
): Promise<Pick<RouteTarget, 'exists' | 'lengthBytes'>> {
  if (target !== undefined) return { exists: false, lengthBytes: lengthOf(volumeSizeGiB) }
  // What only root may see is there.
  const place = await resolvePlace(volume).catch(() => undefined)
  const exists = place === undefined || place.found !== undefined
  // To Cinder the size of a volume is only a limit.
  const staysEncrypted = sourcePassphraseFile !== undefined && !decrypt
  const isFixed = asCinder || staysEncrypted || place?.found?.isBlockDevice() === true
  return { exists, lengthBytes: isFixed ? 0 : lengthOf(volumeSizeGiB) }
}

function lengthOf(sizeGiB: number): number {
  return Math.ceil((sizeGiB * GiB) / 512) * 512
}

/** @throws {ImageUnacceptableError} where the image is compressed, and the operator has not allowed that */
export function checkCompression({ options }: Pick<Services, 'options'>, record: ImageRecord): void {
  if (record.container_format !== 'compressed' || options.allowCompressionOnImageUpload) return
  throw new ImageUnacceptableError({
    imageId: record.id,
    reason: 'Image compression disallowed, but container_format is compressed.',
    rule: 'compression-disallowed',
    found: "container_format 'compressed'",
    accepted: 'an image that is not compressed, or the option allowCompressionOnImageUpload',
  })
}

/** Largest number of GiB whose bytes a number holds exactly. */
const largestGiB = Math.floor(Number.MAX_SAFE_INTEGER / GiB)

/** @throws {InvalidError} for what is no size: not a number, not above 0, beyond any disk */
function checkVolumeSize(volumeSizeGiB: unknown): void {
  if (volumeSizeGiB === undefined) return
  if (typeof volumeSizeGiB === 'number' && volumeSizeGiB > 0 && volumeSizeGiB <= largestGiB) return
  const shown =
    typeof volumeSizeGiB === 'number' || volumeSizeGiB === null
      ? `${volumeSizeGiB}`
      : typeof volumeSizeGiB === 'string'
        ? JSON.stringify(volumeSizeGiB)
        : `of type ${typeof volumeSizeGiB}`
  throw new InvalidError({
    reason: `volumeSizeGiB must be a number of GiB above 0, ${largestGiB} at most; it is ${shown}.`,
  })
}

/** How large a raw disk is, its record says. */
export function checkRawFits({ claimedFormat, container, record, request, imageId }: Job): void {
  if (claimedFormat === 'raw' && container === 'none' && typeof record.size === 'number') {
    checkFits(record.size, request.volumeSizeGiB, imageId)
  }
}

/** Refuses a disk that doesn't fit into a volume of so many GiB; says nothing where no size was given. */
export function checkFits(
  virtualSizeBytes: number,
  volumeSizeGiB: number | undefined,
  imageId: string,
): void {
  if (volumeSizeGiB !== undefined) checkVirtualSize(virtualSizeBytes, volumeSizeGiB, imageId)
}

/** An `ami` is whatever it is: the original compares no format for it, so only the inspector's word counts. */
function claimOf(record: ImageRecord): string | undefined {
  const format = record.disk_format
  return typeof format !== 'string' || format === '' || format.toLowerCase() === 'ami'
    ? undefined
    : toQemuFormat(format)
}

/** @param isService whether it is an image's record, which may have any text there */
export function containerOf(record: ImageRecord, isService: boolean): ContainerFormat {
  if (isXenserverFormat(record)) return 'xenserver'
  const { container_format: format } = record
  if (format === 'compressed') return format
  if (format === 'containerdisk' && !isService) return format
  return format === 'ova' ? 'archive' : 'none'
}

/** Whether it is an image of a service, for which the operator's options hold. */
export function isOfService({ source }: OpenedRequest): boolean {
  return source === undefined || source.record !== undefined
}

/** Whether any of a signature's properties is there; an incomplete set is refused when it is verified. */
export function hasSignature(record: ImageRecord): boolean {
  return [
    'img_signature',
    'img_signature_hash_method',
    'img_signature_key_type',
    'img_signature_certificate_uuid',
  ].some((name) => record.properties[name] !== undefined && record.properties[name] !== null)
}

async function needsRootHelper(services: Services, request: OpenedRequest): Promise<boolean> {
  if (request.target !== undefined) return false
  if (request.runAsRoot !== true || services.options.rootHelper.length === 0) return false
  return !(await isWritable(request.volume))
}

/** An image's id as part of a temporary file's name: a source's name may be a path or a URL. */
export function fileNamePart(imageId: string): string {
  return imageId.replaceAll(/[^\w.-]+/g, '_').slice(-64)
}
