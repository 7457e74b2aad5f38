import { InvalidError } from '@disk-image/core'

/**
 * The store takes no data.
 *
 * @see cinder.exception.GlanceStoreReadOnly
 */
export class GlanceStoreReadOnlyError extends InvalidError {
  override readonly code = 'GLANCE_STORE_READ_ONLY'
  readonly storeId: string

  constructor(init: { readonly storeId: string; readonly cause?: unknown }) {
    super({ reason: `Store ${init.storeId} is read-only in glance.`, cause: init.cause })
    this.storeId = init.storeId
  }
}
