import { isSameFormat, type QemuImgInfo, type Verdict } from '@disk-image/core'
import { accepted, enforce } from './enforce.ts'
import { judgeQcow2Image } from './qcow2.ts'
import { judgeVmdkImage, type VmdkOptions } from './vmdk.ts'

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
