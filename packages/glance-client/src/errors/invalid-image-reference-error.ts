import { InvalidError } from '@disk-image/core'

/**
 * A reference to an image is neither an id nor a URL.
 *
 * @see cinder.exception.InvalidImageRef
 */
export class InvalidImageReferenceError extends InvalidError {
  override readonly code = 'INVALID_IMAGE_REFERENCE'
  readonly imageReference: string

  constructor(init: { readonly imageReference: string; readonly cause?: unknown }) {
    super({ reason: `Invalid image href ${init.imageReference}.`, cause: init.cause })
    this.imageReference = init.imageReference
  }
}
