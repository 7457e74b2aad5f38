import { ImageError } from '@disk-image/core'

/** The volume is there, but this user may not open it so, or somebody else has it. */
export class VolumeAccessError extends ImageError {
  readonly code = 'VOLUME_ACCESS'
  readonly kind = 'not-authorized'
  readonly path: string

  constructor(init: { readonly path: string; readonly reason: string; readonly cause?: unknown }) {
    super({ message: `${init.path} can't be opened: ${init.reason}`, cause: init.cause })
    this.path = init.path
  }
}
