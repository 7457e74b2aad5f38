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

  /** @param init `detail`: what the service said, as a sentence */
  constructor(init: { readonly imageId: string; readonly detail?: string; readonly cause?: unknown }) {
    const detail = init.detail === undefined ? '' : ` ${init.detail}`
    super({ message: `Not authorized for image ${init.imageId}.${detail}`, cause: init.cause })
    this.imageId = init.imageId
  }
}
