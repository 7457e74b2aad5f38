import { InvalidError } from './errors.ts'

/**
 * An id that may be one. Whether there is such an image only the service knows.
 *
 * @throws {InvalidError} for a missing or empty id, which is a mistake of the caller and no missing image
 */
export function checkImageId(imageId: unknown): asserts imageId is string {
  if (typeof imageId === 'string' && imageId.trim() !== '') return
  const found =
    imageId === undefined || typeof imageId === 'string' ? JSON.stringify(imageId) : typeof imageId
  throw new InvalidError({ reason: `An image's id is needed; it is ${found ?? 'undefined'}.` })
}
