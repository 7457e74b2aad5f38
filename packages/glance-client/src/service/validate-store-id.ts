import { InvalidError } from '@disk-image/core'
import type { CallOptions, ImageService, ImageStore, RequestContext } from '@disk-image/core'
import { GlanceStoreNotFoundError, GlanceStoreReadOnlyError } from '../errors.ts'

/**
 * Checks that the image service has a store, and that data may be written to it.
 *
 * @throws {GlanceStoreNotFoundError}, {@link GlanceStoreReadOnlyError}
 * @see cinder.image.image_utils.validate_stores_id
 */
export async function validateStoreId(
  context: RequestContext,
  imageService: Pick<ImageService, 'getStores'>,
  storeId: string,
  options: CallOptions = {},
): Promise<void> {
  const { stores } = await imageService.getStores(context, options)
  if (!Array.isArray(stores)) throw new InvalidError({ reason: 'The image service does not list its stores' })
  for (const store of stores as readonly Partial<ImageStore>[]) {
    if (typeof store.id !== 'string')
      throw new InvalidError({ reason: 'The image service lists a store without an id' })
    if (store.id !== storeId) continue
    // On Glance's wire the flag is a string.
    if (store['read-only'] === 'true') throw new GlanceStoreReadOnlyError({ storeId })
    return
  }
  throw new GlanceStoreNotFoundError({ storeId })
}
