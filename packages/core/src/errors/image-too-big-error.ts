import type { ImageErrorKind } from './image-error.ts'
import { InvalidError } from './invalid-error.ts'

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
export class ImageTooBigError extends InvalidError {
  override readonly code: string = 'IMAGE_TOO_BIG'
  override readonly kind: ImageErrorKind = 'refused'
  readonly imageId: string

  constructor(init: ImageTooBigErrorInit) {
    super({
      reason: init.reason,
      message: `Image ${init.imageId} size exceeded available disk space: ${init.reason}`,
      cause: init.cause,
    })
    this.imageId = init.imageId
  }
}
