import {
  type CallOptions,
  checkImageId,
  GiB,
  type ImageRecord,
  type ImageService,
  ImageUnacceptableError,
  InvalidError,
  type RequestContext,
  toQemuFormat,
} from '@disk-image/core'
import { checkConversionAllowed, checkVirtualSize } from '@disk-image/format-policy'
import { checkSubformat } from '@disk-image/qemu-img'
import { isXenserverFormat } from '@disk-image/vhd'
import type { Throttle, Toolbox } from '../dependencies.ts'
import { checkEncryption } from './check-encryption.ts'
import { checkDestination, isWritable } from './destination.ts'
import type { ImageToVolumeRequest } from './request.ts'
import { showRecord } from '../show-record.ts'

/** How the image's data is wrapped. */
export type Wrapping = 'none' | 'gzip' | 'xenserver'

/** One transfer, with all that is known before its first byte. */
export interface Job {
  readonly request: ImageToVolumeRequest
  readonly context: RequestContext
  readonly imageService: ImageService
  readonly imageId: string
  readonly record: ImageRecord
  readonly wrapping: Wrapping
  /** What the record says the image is, in qemu-img's terms; undefined where it says nothing that binds. */
  readonly claimedFormat: string | undefined
  /** In qemu-img's terms. */
  readonly volumeFormat: string
  readonly throttle: Throttle
  /** Whether the image carries a signature that will be verified. */
  readonly signed: boolean
  /** Whether everything must be verified before the volume is touched. */
  readonly strict: boolean
  /** Whether only the root helper may write the volume. */
  readonly throughHelper: boolean
  /** Whether a tool has to write it: through the root helper, or with a throttle's prefix before it. */
  readonly throughTool: boolean
  /** Whether the disk inside is read, and the image not only stored as it is. */
  readonly opensImage: boolean
  /** Whether one of Cinder's functions was called, which do as the original. */
  readonly asCinder: boolean
  /** A volume's file becomes at least so long. */
  readonly fileLengthBytes: number
  readonly call: CallOptions
}

/** The service that a request names, or the facade's own. */
export function chooseImageService(toolbox: Toolbox, imageService: ImageService | undefined): ImageService {
  const chosen = imageService ?? toolbox.imageService
  if (chosen === undefined) {
    throw new InvalidError({
      reason: 'No image service was given: pass imageService to the call, or to createImageUtils.',
    })
  }
  return chosen
}

/** Reads the image's record, and refuses what can be refused before anything is downloaded. */
export async function prepareJob(
  toolbox: Toolbox,
  request: ImageToVolumeRequest,
  purpose: 'volume' | 'fetch' | 'plan' = 'volume',
): Promise<Job> {
  const call: CallOptions = { signal: request.signal, onProgress: request.onProgress }
  const imageService = chooseImageService(toolbox, request.imageService)
  const context = request.context ?? {}
  const { imageId } = request
  checkImageId(imageId)
  checkVolumeSize(request.volumeSizeGiB)
  request.signal?.throwIfAborted()
  const throughHelper = await needsRootHelper(toolbox, request)
  if (!throughHelper) await checkDestination(request.volume)
  if (purpose !== 'plan') imageService.prepareDownload?.()
  const record = await showRecord(imageService, context, imageId, { signal: request.signal })
  const volumeFormat = toQemuFormat(request.volumeFormat ?? 'raw')
  if (purpose !== 'fetch') {
    const { passphraseFile, sourcePassphraseFile } = request
    checkEncryption({ volumeFormat, passphraseFile, sourcePassphraseFile })
    checkSubformat(volumeFormat, request.volumeSubformat)
  }
  if (purpose === 'volume') {
    checkConversionAllowed(record.disk_format, request.volumeFormat ?? 'raw', imageId, {
      disabled: toolbox.options.imageConversionDisable,
    })
    checkCompression(toolbox, record)
  }
  const throttle = request.throttle ?? toolbox.throttle
  const claimedFormat = claimOf(record)
  const wrapping = wrappingOf(record)
  const signed = toolbox.options.verifyGlanceSignatures === 'enabled' && hasSignature(record)
  const job: Job = {
    request,
    context,
    imageService,
    imageId,
    record,
    wrapping,
    claimedFormat,
    volumeFormat,
    throttle,
    signed,
    strict: request.verifyBeforeWrite ?? signed,
    throughHelper,
    throughTool: throughHelper || (throttle.prefix ?? []).length > 0,
    opensImage: purpose !== 'fetch',
    asCinder: false,
    fileLengthBytes: Math.ceil(((request.volumeSizeGiB ?? 0) * GiB) / 512) * 512,
    call,
  }
  if (purpose !== 'plan') checkRawFits(job)
  return job
}

/** @throws {ImageUnacceptableError} where the image is compressed, and the operator has not allowed that */
export function checkCompression({ options }: Pick<Toolbox, 'options'>, record: ImageRecord): void {
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
export function checkRawFits({ claimedFormat, wrapping, record, request, imageId }: Job): void {
  if (claimedFormat === 'raw' && wrapping === 'none' && typeof record.size === 'number') {
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

function wrappingOf(record: ImageRecord): Wrapping {
  if (isXenserverFormat(record)) return 'xenserver'
  return record.container_format === 'compressed' ? 'gzip' : 'none'
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

async function needsRootHelper(toolbox: Toolbox, request: ImageToVolumeRequest): Promise<boolean> {
  if (request.runAsRoot !== true || toolbox.options.rootHelper.length === 0) return false
  return !(await isWritable(request.volume))
}
