import { ImageError } from '@disk-image/core'

/**
 * The image service does not have what was asked for; where that is an image, it is an `ImageNotFoundError`.
 *
 * @see cinder.exception.NotFound
 */
export class NotFoundError extends ImageError {
  readonly code = 'NOT_FOUND'
  readonly kind = 'not-found'
}
