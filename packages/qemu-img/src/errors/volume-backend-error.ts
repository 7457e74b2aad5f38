import { ImageError } from '@disk-image/core'

/**
 * The tools on this machine can't do what a volume driver needs.
 *
 * @see cinder.exception.VolumeBackendAPIException
 */
export class VolumeBackendError extends ImageError {
  readonly code = 'VOLUME_BACKEND'
  readonly kind = 'failed'
  readonly reason: string

  constructor(init: { readonly reason: string; readonly cause?: unknown }) {
    super({
      message: `Bad or unexpected response from the storage volume backend API: ${init.reason}`,
      cause: init.cause,
    })
    this.reason = init.reason
  }
}
