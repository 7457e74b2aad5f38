import { ImageError } from '@disk-image/core'

/**
 * A worker may no longer write its destination: the lease is another's, or could not be renewed in time. The work
 * was stopped, and is done again by whoever holds the lease next.
 */
export class LeaseLostError extends ImageError {
  readonly code = 'FLEET_LEASE_LOST'
  readonly kind = 'failed'

  constructor(init: { readonly reason: string; readonly cause?: unknown }) {
    super({ message: `The lease on the destination was lost: ${init.reason}`, cause: init.cause })
  }
}
