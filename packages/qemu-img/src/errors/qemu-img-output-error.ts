import { ImageError } from '@disk-image/core'

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
