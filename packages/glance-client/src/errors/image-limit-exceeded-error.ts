import { ImageError } from '@disk-image/core'

/**
 * A quota or limit of the image service is used up.
 *
 * @see cinder.exception.ImageLimitExceeded
 */
export class ImageLimitExceededError extends ImageError {
  readonly code = 'IMAGE_LIMIT_EXCEEDED'
  readonly kind = 'failed'
  /** What the service said. */
  readonly detail: string

  constructor(init: { readonly detail?: string; readonly cause?: unknown }) {
    super({ message: 'Image quota exceeded', cause: init.cause })
    this.detail = init.detail ?? ''
  }
}
