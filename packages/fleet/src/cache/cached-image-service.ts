import { ImageError, type ImageRecord, type ImageService } from '@disk-image/core'
import type { ImageCache } from './image-cache.ts'

/**
 * An image service whose downloads of one image come from the cache, verified as they are read. All else is asked
 * of the service itself.
 */
export function readThroughCache(
  imageService: ImageService,
  cache: ImageCache,
  name: string,
  record: ImageRecord,
): ImageService {
  const download: ImageService['download'] = async (context, imageId, sink, options = {}) => {
    if (imageId !== record.id) return imageService.download(context, imageId, sink, options)
    // A name has the beginning of a hash only: what is kept must be these bytes, not others that begin so.
    const kept = await cache.store.show({}, name)
    if (kept.os_hash_value !== record.os_hash_value || kept.size !== record.size) {
      return imageService.download(context, imageId, sink, options)
    }
    try {
      return await cache.store.download({}, name, sink, { ...options, verify: 'strict' })
    } catch (error) {
      if (ImageError.is(error) && error.code === 'IMAGE_DOWNLOAD_FAILED') await cache.drop(name)
      throw error
    }
  }
  return new Proxy(imageService, {
    get(target, property) {
      if (property === 'download') return download
      const value: unknown = Reflect.get(target, property, target)
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value
    },
  })
}
