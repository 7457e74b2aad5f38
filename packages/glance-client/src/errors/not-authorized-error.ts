import { ImageError } from '@disk-image/core'

/**
 * The account may not do this; where that is about one image, it is an `ImageNotAuthorizedError`.
 *
 * @see cinder.exception.NotAuthorized
 */
export class NotAuthorizedError extends ImageError {
  readonly code = 'NOT_AUTHORIZED'
  readonly kind = 'not-authorized'
}
