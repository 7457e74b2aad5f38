import { InvalidError } from '@disk-image/core'

/**
 * An image has some of the four signature properties, but not all; or none, where one is demanded.
 *
 * @see cinder.exception.InvalidSignatureImage
 */
export class InvalidSignatureImageError extends InvalidError {
  override readonly code = 'INVALID_SIGNATURE_IMAGE'
  readonly imageId: string

  constructor(init: { readonly imageId: string; readonly reason?: string; readonly cause?: unknown }) {
    super({
      reason: init.reason ?? `Signature metadata is incomplete for image: ${init.imageId}.`,
      cause: init.cause,
    })
    this.imageId = init.imageId
  }
}
