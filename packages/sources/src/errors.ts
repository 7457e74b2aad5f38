import { ImageError } from '@disk-image/core'

/** An image could not be put into a registry. Nothing there refers to what had arrived until then. */
export class PushFailedError extends ImageError {
  readonly code = 'PUSH_FAILED'
  readonly kind = 'failed'
  readonly reference: string
  readonly reason: string

  constructor(init: { readonly reference: string; readonly reason: string; readonly cause?: unknown }) {
    super({ message: `Failed to push to ${init.reference}, reason: ${init.reason}`, cause: init.cause })
    this.reference = init.reference
    this.reason = init.reason
  }
}
