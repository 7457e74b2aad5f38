import { ImageError } from '@disk-image/core'
import type { ImageRecord, ImageService } from '@disk-image/core'
import type { ImageCache } from './image-cache.ts'

/** Hex digits of the hashes by which images are kept. */
const hexDigits: Readonly<Record<string, number>> = {
  sha256: 64,
  sha384: 96,
  sha512: 128,
  sha3_256: 64,
  sha3_384: 96,
  sha3_512: 128,
  blake2b: 128,
}

/** The name under which an image's bytes are kept: their hash's. Undefined where the record has no strong one. */
export function cacheNameOf(record: ImageRecord): string | undefined {
  const { os_hash_algo: algorithm, os_hash_value: value } = record
  if (typeof algorithm !== 'string' || typeof value !== 'string' || typeof record.size !== 'number') {
    return undefined
  }
  // 256 bits of it name a file well enough; it is the whole hash that is verified.
  const digits = Object.hasOwn(hexDigits, algorithm) ? hexDigits[algorithm] : undefined
  return value.length === digits && /^[0-9a-f]+$/.test(value)
    ? `${algorithm}-${value.slice(0, 64)}`
    : undefined
}

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
