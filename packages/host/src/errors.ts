import { ImageError } from '@disk-image/core'

/** Another try may succeed: neither name nor rights are to blame. */
const ofSystem = new Set(['EAGAIN', 'EINTR', 'EIO', 'EMFILE', 'ENFILE', 'ENOMEM', 'ESTALE', 'ETIMEDOUT'])

/** Whether the operating system failed, rather than that what was asked for is wrong. */
export function isFaultOfSystem(error: unknown): boolean {
  return ofSystem.has((error as NodeJS.ErrnoException).code ?? '')
}

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
