import { ImageError } from '@disk-image/core'

/**
 * An image's signature is wrong, or could not be verified.
 *
 * @see cinder.exception.ImageSignatureVerificationException
 */
export class ImageSignatureVerificationError extends ImageError {
  readonly code = 'IMAGE_SIGNATURE_VERIFICATION_FAILED'
  readonly kind = 'refused'
  readonly imageId: string
  readonly reason: string

  constructor(init: { readonly imageId: string; readonly reason: string; readonly cause?: unknown }) {
    super({ message: `Failed to verify image signature, reason: ${init.reason}`, cause: init.cause })
    this.imageId = init.imageId
    this.reason = init.reason
  }
}
