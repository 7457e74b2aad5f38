import { ImageError } from '@disk-image/core'

/** The service could not import an image's data, or not into every store that was asked for. */
export class ImageImportFailedError extends ImageError {
  readonly code = 'IMAGE_IMPORT_FAILED'
  readonly kind = 'failed'
  readonly imageId: string
  readonly reason: string
  /** Stores that did not get the data. */
  readonly failedStores: readonly string[]

  constructor(init: {
    readonly imageId: string
    readonly reason: string
    readonly failedStores?: readonly string[]
    readonly cause?: unknown
  }) {
    super({ message: `Failed to import image ${init.imageId}, reason: ${init.reason}`, cause: init.cause })
    this.imageId = init.imageId
    this.reason = init.reason
    this.failedStores = init.failedStores ?? []
  }
}
