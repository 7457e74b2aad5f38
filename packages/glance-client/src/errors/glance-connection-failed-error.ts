import { ImageError } from '@disk-image/core'

/**
 * The image service could not be reached, or broke off, as often as was tried.
 *
 * @see cinder.exception.GlanceConnectionFailed
 */
export class GlanceConnectionFailedError extends ImageError {
  readonly code = 'GLANCE_CONNECTION_FAILED'
  readonly kind = 'failed'
  readonly reason: string

  constructor(init: { readonly reason: string; readonly cause?: unknown }) {
    super({ message: `Connection to glance failed: ${init.reason}`, cause: init.cause })
    this.reason = init.reason
  }
}
