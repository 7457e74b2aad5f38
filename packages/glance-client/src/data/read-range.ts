import { checkImageId, ImageDownloadFailedError, InvalidError } from '@disk-image/core'
import type { CallOptions, RequestContext } from '@disk-image/core'
import { imageError } from '../api/answer-errors.ts'
import { GlanceConnectionFailedError } from '../errors.ts'
import { ConnectionBrokenError } from '../transport/connection-error.ts'
import { delay } from '../transport/timeouts.ts'
import { sendData } from './data-channel.ts'
import type { DataChannelOptions, DataResult } from './data-channel.ts'

/** Longer reads are a download. */
const maximumLength = 256 * 1024 * 1024

/** Thrown by the taker when it has what it wants, to leave the rest of the body unread. */
class EnoughError extends Error {}

/**
 * Reads part of an image's data, not verified: less than asked for at its end.
 * Where the store can't start in the middle, the data is read up to there and cut.
 */
export async function readRange(
  channel: DataChannelOptions,
  imageId: string,
  offset: number,
  length: number,
  options: CallOptions & { readonly context?: RequestContext | undefined },
): Promise<Uint8Array> {
  checkImageId(imageId)
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0) {
    throw new InvalidError({ reason: `A range needs a whole offset and length, not ${offset} and ${length}` })
  }
  if (length > maximumLength) {
    throw new InvalidError({ reason: `At most ${maximumLength} bytes are read at once, not ${length}` })
  }
  if (length === 0) return new Uint8Array()
  let ranged = true
  for (let attempt = 0; ; attempt += 1) {
    try {
      const outcome = await readOnce(channel, imageId, { offset, length, ranged }, options)
      if (outcome !== 'unranged') return outcome
      ranged = false
    } catch (error) {
      if (!(error instanceof ConnectionBrokenError)) throw imageError(imageId, error)
      if (error.fatal || attempt >= channel.retries) {
        throw new GlanceConnectionFailedError({ reason: error.message, cause: error })
      }
      await delay(channel.api.waitMs(attempt, undefined), options.signal)
    }
  }
}

async function readOnce(
  channel: DataChannelOptions,
  imageId: string,
  { offset, length, ranged }: { offset: number; length: number; ranged: boolean },
  options: CallOptions & { readonly context?: RequestContext | undefined },
): Promise<Uint8Array | 'unranged'> {
  const parts: Uint8Array[] = []
  let missing = length
  let skip = 0
  let result: DataResult | undefined
  try {
    result = await sendData(channel, {
      method: 'GET',
      path: `/v2/images/${encodeURIComponent(imageId)}/file`,
      headers: {
        Accept: 'application/json, application/octet-stream;q=0.9',
        ...(ranged ? { Range: `bytes=${offset}-${offset + length - 1}` } : {}),
      },
      context: options.context,
      signal: options.signal,
      takeBody: ({ status, headers }) => {
        const begins = headers.get('content-range')?.startsWith(`bytes ${offset}-`) === true
        if (status !== 200 && !(status === 206 && ranged && begins)) return undefined
        skip = status === 200 ? offset : 0
        return {
          take: (bytes) => {
            const from = Math.min(skip, bytes.length)
            skip -= from
            // The memory is read into again.
            const part = Uint8Array.from(bytes.subarray(from, from + missing))
            missing -= part.length
            if (part.length > 0) parts.push(part)
            if (missing === 0) throw new EnoughError()
            return undefined
          },
        }
      },
    })
  } catch (error) {
    if (!(error instanceof EnoughError)) throw error
  }
  if (result !== undefined) {
    const { status } = result.head
    if (status === 204) throw new ImageDownloadFailedError({ imageId, reason: 'image contains no data.' })
    if (status === 416) return new Uint8Array()
    if (ranged && (status === 400 || (status === 206 && parts.length === 0))) return 'unranged'
    if (result.error !== undefined) throw result.error
  }
  return Uint8Array.from(Buffer.concat(parts))
}
