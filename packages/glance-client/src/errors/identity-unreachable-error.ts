import { ImageError } from '@disk-image/core'

/** The identity service, or the provider that it trusts, could not be reached, or could not answer. */
export class IdentityUnreachableError extends ImageError {
  readonly code = 'IDENTITY_UNREACHABLE'
  readonly kind = 'failed'
  readonly reason: string

  constructor(init: { readonly reason: string; readonly cause?: unknown }) {
    super({ message: `Signing in is not possible now: ${init.reason}`, cause: init.cause })
    this.reason = init.reason
  }
}
