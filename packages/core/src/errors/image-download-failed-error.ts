import { ImageError } from './image-error.ts'

/** Init of {@link ImageDownloadFailedError}. */
export interface ImageDownloadFailedErrorInit {
  readonly imageId: string
  readonly reason: string
  /** Whether bytes were already handed on: the target is then tainted and must not be used. */
  readonly tainted?: boolean
  readonly cause?: unknown
}

/**
 * The image's data could not be had whole and verified: no data, a cut or wrong body, a wrong hash.
 *
 * @see cinder.exception.ImageDownloadFailed
 */
export class ImageDownloadFailedError extends ImageError {
  readonly code = 'IMAGE_DOWNLOAD_FAILED'
  readonly kind = 'failed'
  readonly imageId: string
  readonly reason: string
  readonly tainted: boolean

  constructor(init: ImageDownloadFailedErrorInit) {
    super({
      message: `Failed to download image ${init.imageId}, reason: ${init.reason}`,
      cause: init.cause,
    })
    this.imageId = init.imageId
    this.reason = init.reason
    this.tainted = init.tainted ?? false
  }
}
