import { ImageDownloadFailedError, ImageNotAuthorizedError, ImageNotFoundError } from '@disk-image/core'
import { imageError } from '../api/answer-errors.ts'
import { GlanceConnectionFailedError, GlanceHttpError } from '../errors.ts'
import { ConnectionBrokenError } from '../transport/connection-error.ts'
import { isPassing } from '../transport/http.ts'
import type { Download } from './download-state.ts'

/** Whether the next connection may do better. */
export function isWorthAnotherTry(error: unknown): boolean {
  if (error instanceof ConnectionBrokenError) return !error.fatal
  if (error instanceof GlanceConnectionFailedError) return true
  return error instanceof GlanceHttpError && isPassing(error.status)
}

/** The error that a download ends with. */
export function failed({ image, transfer, answered }: Download, error: unknown): unknown {
  const translated = imageError(image.id, error)
  if (translated !== error) {
    const gone = translated instanceof ImageNotFoundError || translated instanceof ImageNotAuthorizedError
    if (gone || !transfer.partial) return translated
  }
  if (error instanceof GlanceHttpError && !transfer.partial && !isPassing(error.status)) return error
  const passing = error instanceof ConnectionBrokenError || error instanceof GlanceHttpError
  if (passing && !answered) {
    return new GlanceConnectionFailedError({ reason: error.message, cause: error })
  }
  const known = error instanceof ConnectionBrokenError || error instanceof GlanceHttpError
  if (!known && !(error instanceof GlanceConnectionFailedError) && error !== undefined) return error
  return new ImageDownloadFailedError({
    imageId: image.id,
    reason: `${error === undefined ? 'the service could not continue it' : error.message}, after ${transfer.received} bytes.`,
    partial: transfer.partial,
    cause: error,
  })
}

/** The service's data are not the image's. */
export function noData({ image, transfer }: Download, reason: string): ImageDownloadFailedError {
  return new ImageDownloadFailedError({ imageId: image.id, reason, partial: transfer.partial })
}
