import { ImageError, ImageNotAuthorizedError, ImageNotFoundError, InvalidError } from '@disk-image/core'
import { describeStatus } from '@disk-image/http'
import type { HttpResponse } from '@disk-image/http'
import { GlanceHttpError, ImageLimitExceededError, NotAuthorizedError, NotFoundError } from '../errors.ts'

/**
 * The error that a status from 300 on becomes.
 *
 * @param secrets what the request carried
 */
export function httpError(
  method: string,
  url: URL,
  response: Omit<HttpResponse, 'url'>,
  secrets: readonly string[],
): GlanceHttpError {
  return new GlanceHttpError(describeStatus(method, url, response, secrets, 'x-openstack-request-id'))
}

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

/**
 * What Glance says about a field that its schema does not take, in a sentence: the field, the value and what is
 * taken. Glance itself quotes the whole schema. Any other text comes back as it is.
 */
function schemaComplaint(detail: string): string {
  const [, what, rest = ''] =
    /^Provided object does not match schema '\w+': (.*?) Failed validating (.*)$/.exec(detail) ?? []
  if (what === undefined) return detail
  const field =
    /On instance\['([^']{1,255})'\]/.exec(rest)?.[1] ?? /schema\['properties'\]\['(\w+)'\]/.exec(rest)?.[1]
  if (field === undefined) return what
  const [, value, list] = /^(.*) is not one of \[(.*)\]$/.exec(what) ?? []
  if (value === undefined || list === undefined) return `${field}: ${what}.`
  const taken = [...list.matchAll(/'([^']*)'/g)].map(([, name]) => name)
  return `${field} is ${value}; it must be one of: ${taken.join(', ')}.`
}
