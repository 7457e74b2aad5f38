import { isSameFormat, type QemuImgInfo, type Verdict } from '@disk-image/core'
import { accepted, enforce } from './enforce.ts'

/**
 * Whether `qemu-img info`'s answer fits the format that was asked for, and the rules of that format.
 *
 * @param sourceFormat any of its names; undefined compares nothing, and so does `ami` in any case,
 *   which is no format that qemu-img knows
 */
export function judgeImageFormat(
  sourceFormat: string | null | undefined,
  data: Pick<QemuImgInfo, 'fileFormat' | 'formatSpecific'>,
  options: VmdkOptions = {},
): Verdict {
  const { fileFormat } = data
  if (fileFormat === undefined || fileFormat === null) {
    return { ok: false, rule: 'image-format', reason: "'qemu-img info' parsing failed." }
  }
  if (sourceFormat !== undefined && sourceFormat !== null) {
    // `toLowerCase` also refuses what is no text, as the original does.
    if (sourceFormat.toLowerCase() !== 'ami' && !isSameFormat(sourceFormat, fileFormat)) {
      return formatMismatch(sourceFormat, fileFormat)
    }
  }
  if (fileFormat === 'vmdk') return judgeVmdkImage(data, options)
  if (fileFormat === 'qcow2') return judgeQcow2Image(data)
  return accepted
}

/**
 * @throws {ImageUnacceptableError} where {@link judgeImageFormat} refuses
 * @see cinder.image.image_utils.check_image_format
 */
export function checkImageFormat(
  imageId: string | null | undefined,
  sourceFormat: string | null | undefined,
  data: Pick<QemuImgInfo, 'fileFormat' | 'formatSpecific'>,
  options: VmdkOptions = {},
): void {
  enforce(imageId ?? 'internal image', judgeImageFormat(sourceFormat, data, options))
}

/** The refusal of bytes that are not what was said about them. */
export function formatMismatch(claimed: string, found: string): Verdict {
  return {
    ok: false,
    rule: 'format-mismatch',
    reason:
      `The image format was claimed to be '${claimed}' but the image data appears to be ` +
      'in a different format.',
    found,
    accepted: claimed,
    reference: 'CVE-2024-40767',
  }
}

/** What of `qemu-img info`'s answer the format rules look at. It is a tool's output: nothing is taken for granted. */
export type FormatSpecificInfo = Pick<QemuImgInfo, 'formatSpecific'>

/** A qcow2 image may not keep its data in another file. Its backing file is another rule's matter. */
export function judgeQcow2Image(data: FormatSpecificInfo): Verdict {
  const specific = asRecord(data.formatSpecific)
  const values = specific === undefined ? undefined : asRecord(specific['data'])
  if (values === undefined) {
    return {
      ok: false,
      rule: 'qcow2-format-specific',
      reason: 'Cannot determine format-specific information',
      accepted: 'what qemu-img info prints for a qcow2 image',
    }
  }
  const dataFile = values['data-file']
  if (!isTrue(dataFile)) return accepted
  return {
    ok: false,
    rule: 'qcow2-data-file',
    reason: 'A qcow2 format image is not allowed to have a data file',
    found: String(dataFile).slice(0, 200),
    accepted: 'an image that holds its own data',
    reference: 'CVE-2024-32498',
  }
}

/**
 * @throws {ImageUnacceptableError} where {@link judgeQcow2Image} refuses
 * @see cinder.image.image_utils.check_qcow2_image
 */
export function checkQcow2Image(imageId: string | null | undefined, data: FormatSpecificInfo): void {
  enforce(imageId, judgeQcow2Image(data))
}

/** A plain object, whatever its prototype. */
function asRecord(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}

/** As the original's language sees it: empty lists and objects count as nothing. */
function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value)
}

/** The VMDK create types that are accepted unless told otherwise: those that hold all of their data. */
export const defaultVmdkAllowedTypes: readonly string[] = Object.freeze([
  'streamOptimized',
  'monolithicSparse',
])

/** Options of {@link judgeVmdkImage}. */
export interface VmdkOptions {
  /** Create types that are accepted; an empty list refuses every VMDK. @default {@link defaultVmdkAllowedTypes} */
  readonly allowedTypes?: readonly string[] | undefined
}

/** A VMDK must be of a type that does not draw in other files. */
export function judgeVmdkImage(data: FormatSpecificInfo, options: VmdkOptions = {}): Verdict {
  const allowed = options.allowedTypes ?? defaultVmdkAllowedTypes
  const base = { ok: false, rule: 'vmdk-create-type', reference: 'CVE-2022-47951' } as const
  const wanted = allowed.length === 0 ? 'no VMDK at all' : allowed.join(', ')
  if (allowed.length === 0) {
    return { ...base, reason: 'Image is a VMDK, but no VMDK createType is allowed', accepted: wanted }
  }
  const specific = asRecord(data.formatSpecific)
  const values = specific === undefined ? undefined : asRecord(specific['data'])
  if (values === undefined && !(specific !== undefined && !('data' in specific))) {
    const reason = 'Unable to determine VMDK createType as no format-specific information is available'
    return { ...base, reason, accepted: wanted }
  }
  if (values === undefined || !('create-type' in values)) {
    return { ...base, reason: 'Unable to determine VMDK createType', accepted: wanted }
  }
  const type = values['create-type']
  if (typeof type === 'string' && allowed.includes(type)) return accepted
  const found = String(type).slice(0, 200)
  return { ...base, reason: 'Invalid VMDK create-type specified', found, accepted: wanted }
}

/**
 * @throws {ImageUnacceptableError} where {@link judgeVmdkImage} refuses
 * @see cinder.image.image_utils.check_vmdk_image
 */
export function checkVmdkImage(
  imageId: string | null | undefined,
  data: FormatSpecificInfo,
  options: VmdkOptions = {},
): void {
  enforce(imageId, judgeVmdkImage(data, options))
}
