import { ImageError } from './image-error.ts'

/**
 * No such image, or none that this account may see.
 *
 * @see cinder.exception.ImageNotFound
 */
export class ImageNotFoundError extends ImageError {
  readonly code = 'IMAGE_NOT_FOUND'
  readonly kind = 'not-found'
  readonly imageId: string

  constructor(init: { readonly imageId: string; readonly cause?: unknown }) {
    super({ message: `Image ${init.imageId} could not be found.`, cause: init.cause })
    this.imageId = init.imageId
  }
}
