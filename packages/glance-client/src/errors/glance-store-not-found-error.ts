import { ImageError } from '@disk-image/core'

/**
 * The image service has no store of that name.
 *
 * @see cinder.exception.GlanceStoreNotFound
 */
export class GlanceStoreNotFoundError extends ImageError {
  readonly code = 'GLANCE_STORE_NOT_FOUND'
  readonly kind = 'not-found'
  readonly storeId: string

  constructor(init: { readonly storeId: string; readonly cause?: unknown }) {
    super({ message: `Store ${init.storeId} not enabled in glance.`, cause: init.cause })
    this.storeId = init.storeId
  }
}
