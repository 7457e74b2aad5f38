import { toGlanceFormat, type Verdict } from '@disk-image/core'
import { accepted } from './enforce.ts'
import { ImageConversionNotAllowedError } from '../errors.ts'

/** Options of {@link judgeConversionAllowed}. */
export interface ConversionOptions {
  /** Whether images may not be converted at all. @default false */
  readonly disabled?: boolean | undefined
  /** Whether a volume becomes an image, and not an image a volume. @default false */
  readonly upload?: boolean | undefined
}

/** Where conversion is switched off, image and volume must have the same format. */
export function judgeConversionAllowed(
  diskFormat: string | null | undefined,
  volumeFormat: string | null | undefined,
  options: ConversionOptions = {},
): Verdict {
  if (options.disabled !== true || diskFormat === volumeFormat) return accepted
  // Two names of one format need no conversion. What is raw under another name does, as in the original.
  if (diskFormat && volumeFormat && toGlanceFormat(diskFormat) === toGlanceFormat(volumeFormat))
    return accepted
  const image = diskFormat ?? 'None'
  const volume = volumeFormat ?? 'None'
  const reason = options.upload === true ? uploadReason(image, volume) : downloadReason(image, volume)
  return { ok: false, rule: 'conversion-disabled', reason, found: image, accepted: volume }
}

/**
 * @throws {ImageConversionNotAllowedError} where {@link judgeConversionAllowed} refuses
 * @see cinder.image.image_utils.check_image_conversion_disable
 */
export function checkConversionAllowed(
  diskFormat: string | null | undefined,
  volumeFormat: string | null | undefined,
  imageId: string | null | undefined,
  options: ConversionOptions = {},
): void {
  const verdict = judgeConversionAllowed(diskFormat, volumeFormat, options)
  if (verdict.ok) return
  throw new ImageConversionNotAllowedError({ imageId: imageId ?? 'None', reason: verdict.reason })
}

function uploadReason(image: string, volume: string): string {
  return (
    `Image conversion is disabled. The image disk_format you have requested is '${image}', ` +
    `but your volume can only be uploaded in the format '${volume}'.`
  )
}

function downloadReason(image: string, volume: string): string {
  return (
    'Image conversion is disabled. The volume type you have requested requires that the image it is ' +
    `being created from be in '${volume}' format, but the image you are using has the disk_format ` +
    `property '${image}'. You must use an image with the disk_format property '${volume}' to create ` +
    'a volume of this type.'
  )
}
