import { ImageError } from '@disk-image/core'

/** Init of {@link ImageConversionNotAllowedError}. */
export interface ImageConversionNotAllowedErrorInit {
  readonly imageId: string
  readonly reason: string
  readonly cause?: unknown
}

/**
 * The image would have to be converted, and conversion is switched off.
 *
 * @see cinder.exception.ImageConversionNotAllowed
 */
export class ImageConversionNotAllowedError extends ImageError {
  readonly code = 'IMAGE_CONVERSION_NOT_ALLOWED'
  readonly kind = 'refused'
  readonly imageId: string
  readonly reason: string

  constructor(init: ImageConversionNotAllowedErrorInit) {
    super({
      message: `Image Conversion disallowed for image ${init.imageId}: ${init.reason}`,
      cause: init.cause,
    })
    this.imageId = init.imageId
    this.reason = init.reason
  }
}
