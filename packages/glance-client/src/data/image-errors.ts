import { ImageError, ImageNotAuthorizedError, ImageNotFoundError, InvalidError } from '@disk-image/core'
import { GlanceHttpError, ImageLimitExceededError, NotAuthorizedError, NotFoundError } from '../errors.ts'
import { schemaComplaint } from './schema-complaint.ts'

/**
 * The error of a call about one image: 401 and 403, 404, 413 and 400 get the image's own classes.
 *
 * @see cinder.image.glance._translate_image_exception
 */
export function imageError(imageId: string, error: unknown): unknown {
  if (!(error instanceof GlanceHttpError)) return error
  switch (error.status) {
    case 401:
    case 403:
      return new ImageNotAuthorizedError({ imageId, detail: error.message, cause: error })
    case 404:
      return new ImageNotFoundError({ imageId, detail: error.message, cause: error })
    default:
      return plainError(error)
  }
}

/**
 * The error of a call about no image in particular.
 *
 * @see cinder.image.glance._translate_plain_exception
 */
export function plainError(error: unknown): unknown {
  if (!(error instanceof GlanceHttpError)) return error
  const { message } = error
  switch (error.status) {
    case 400:
      return new InvalidError({
        reason: error.detail === '' ? message : schemaComplaint(error.detail),
        cause: error,
      })
    case 401:
    case 403:
      return new NotAuthorizedError({ message, cause: error })
    case 404:
      return new NotFoundError({ message, cause: error })
    case 413:
      return limitExceeded(error)
    default:
      return error
  }
}

/** A 413: of the service's quota, or of a proxy before it. */
export function limitExceeded(error: GlanceHttpError): ImageLimitExceededError {
  return new ImageLimitExceededError({ detail: error.detail, message: error.message, cause: error })
}

/** The error of a call that makes an image: a field that the schema does not take, in a sentence; others as they are. */
export function fieldError(error: unknown): unknown {
  if (!(error instanceof GlanceHttpError) || error.status !== 400) return error
  const reason = schemaComplaint(error.detail)
  return reason === error.detail ? error : new InvalidError({ reason, cause: error })
}

/** Runs a call about an image and translates its errors. */
export async function aboutImage<T>(imageId: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw ImageError.is(error) ? imageError(imageId, error) : error
  }
}
