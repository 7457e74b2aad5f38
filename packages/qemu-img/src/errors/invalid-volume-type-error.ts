import { ImageError } from '@disk-image/core'

/**
 * The volume type's encryption settings make no sense.
 *
 * @see cinder.exception.InvalidVolumeType
 */
export class InvalidVolumeTypeError extends ImageError {
  readonly code = 'INVALID_VOLUME_TYPE'
  readonly kind = 'invalid'
  readonly reason: string

  constructor(init: { readonly reason: string; readonly cause?: unknown }) {
    super({ message: `Invalid volume type: ${init.reason}`, cause: init.cause })
    this.reason = init.reason
  }
}
