import { ImageError } from '@disk-image/core'

/** What became of the image whose upload failed. */
export type FailedUploadState =
  /** It waits for data, as before: another upload may follow. */
  | 'queued'
  /** It was active with wrong data and has been deleted. */
  | 'deleted'
  /** It is active with wrong data; deleting it failed or was not wanted. */
  | 'wrong'
  /** The service could not be asked, or is still busy with it. */
  | 'unknown'

/** Init of {@link ImageUploadFailedError}. */
export interface ImageUploadFailedErrorInit {
  readonly imageId: string
  readonly reason: string
  readonly state: FailedUploadState
  readonly cause?: unknown
}

/** The image's data did not arrive whole, and could not be sent again. */
export class ImageUploadFailedError extends ImageError {
  readonly code = 'IMAGE_UPLOAD_FAILED'
  readonly kind = 'failed'
  readonly imageId: string
  readonly reason: string
  readonly state: FailedUploadState

  constructor(init: ImageUploadFailedErrorInit) {
    super({ message: `Failed to upload image ${init.imageId}, reason: ${init.reason}`, cause: init.cause })
    this.imageId = init.imageId
    this.reason = init.reason
    this.state = init.state
  }
}
