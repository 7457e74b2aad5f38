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

/** `qemu-img` succeeded, but what it printed is not what it prints. */
export class QemuImgOutputError extends ImageError {
  readonly code = 'QEMU_IMG_OUTPUT'
  readonly kind = 'failed'
  readonly subcommand: string
  readonly reason: string

  constructor(init: { readonly subcommand: string; readonly reason: string; readonly cause?: unknown }) {
    super({
      message: `The output of qemu-img ${init.subcommand} is wrong: ${init.reason}`,
      cause: init.cause,
    })
    this.subcommand = init.subcommand
    this.reason = init.reason
  }
}

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
