import { ImageError } from './image-error.ts'

/** Init of {@link ImageTooBigError}. */
export interface ImageTooBigErrorInit {
  readonly imageId: string
  readonly reason: string
  readonly cause?: unknown
}

/**
 * There is no room for the image: on the file system, or on the volume.
 *
 * @see cinder.exception.ImageTooBig
 */
export class ImageTooBigError extends ImageError {
  readonly code = 'IMAGE_TOO_BIG'
  readonly kind = 'refused'
  readonly imageId: string
  readonly reason: string

  constructor(init: ImageTooBigErrorInit) {
    super({
      message: `Image ${init.imageId} size exceeded available disk space: ${init.reason}`,
      cause: init.cause,
    })
    this.imageId = init.imageId
    this.reason = init.reason
  }
}
