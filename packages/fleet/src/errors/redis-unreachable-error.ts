import { ImageError } from '@disk-image/core'

/** Redis does not answer, or does not let this account in. */
export class RedisUnreachableError extends ImageError {
  readonly code = 'FLEET_REDIS_UNREACHABLE'
  readonly kind = 'failed'

  constructor(init: { readonly address: string; readonly cause?: unknown }) {
    const { cause } = init
    const why = cause instanceof Error ? cause.message : 'no answer'
    super({ message: `Redis at ${init.address} can't be used: ${why}`, cause })
  }
}
