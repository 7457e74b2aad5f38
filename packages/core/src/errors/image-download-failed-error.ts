import { ImageError } from './image-error.ts'

/** Init of {@link ImageDownloadFailedError}. */
export interface ImageDownloadFailedErrorInit {
  readonly imageId: string
  readonly reason: string
  /** Whether the sink got bytes: its target is then partial and must not be used. @default false */
  readonly partial?: boolean
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
  /** Whether the sink got bytes: its target is then partial and must not be used. */
  readonly partial: boolean

  constructor(init: ImageDownloadFailedErrorInit) {
    super({
      message: `Failed to download image ${init.imageId}, reason: ${init.reason}`,
      cause: init.cause,
    })
    this.imageId = init.imageId
    this.reason = init.reason
    this.partial = init.partial ?? false
  }
}
