import { ImageError } from './image-error.ts'

/**
 * The account, or the process's user, may not do this with the image.
 *
 * @see cinder.exception.ImageNotAuthorized
 */
export class ImageNotAuthorizedError extends ImageError {
  readonly code = 'IMAGE_NOT_AUTHORIZED'
  readonly kind = 'not-authorized'
  readonly imageId: string

  constructor(init: { readonly imageId: string; readonly cause?: unknown }) {
    super({ message: `Not authorized for image ${init.imageId}.`, cause: init.cause })
    this.imageId = init.imageId
  }
}
