import { ImageError } from '@disk-image/core'

/** The identity service did not accept the credentials. */
export class AuthenticationFailedError extends ImageError {
  readonly code = 'AUTHENTICATION_FAILED'
  readonly kind = 'not-authorized'
  readonly reason: string

  constructor(init: { readonly reason: string; readonly cause?: unknown }) {
    super({ message: `Authentication failed: ${init.reason}`, cause: init.cause })
    this.reason = init.reason
  }
}
