import { ImageError } from '@disk-image/core'

/**
 * The service, or a proxy before it, takes no more: a quota is used up, or what was sent is too large.
 *
 * @see cinder.exception.ImageLimitExceeded
 */
export class ImageLimitExceededError extends ImageError {
  readonly code = 'IMAGE_LIMIT_EXCEEDED'
  readonly kind = 'invalid'
  /** What the service said. */
  readonly detail: string

  constructor(init: { readonly detail?: string; readonly message?: string; readonly cause?: unknown }) {
    const said = init.message === undefined ? '' : `: ${init.message}`
    super({ message: `Image quota or size limit exceeded${said}`, cause: init.cause })
    this.detail = init.detail ?? ''
  }
}
