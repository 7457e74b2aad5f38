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

  /** @param init `detail`: what the service said, as a sentence */
  constructor(init: { readonly imageId: string; readonly detail?: string; readonly cause?: unknown }) {
    const detail = init.detail === undefined ? '' : ` ${init.detail}`
    super({ message: `Image ${init.imageId} could not be found.${detail}`, cause: init.cause })
    this.imageId = init.imageId
  }
}
