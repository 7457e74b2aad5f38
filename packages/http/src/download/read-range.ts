import { ImageDownloadFailedError, InvalidError } from '@disk-image/core'
import type { CallOptions } from '@disk-image/core'
import {
  ConnectionBrokenError,
  HttpConnectionFailedError,
  HttpStatusError,
  ReplacedError,
} from '../errors.ts'
import { delay } from '../transport/timeouts.ts'
import type { DataAnswer, DownloadOrigin, DownloadTools } from './origin.ts'

/** Longer reads are a download. */
const maximumLength = 256 * 1024 * 1024

/** Thrown by the taker when it has what it wants, to leave the rest of the body unread. */
class EnoughError extends Error {}

/**
 * Reads part of an image's data, not verified: less than asked for at its end.
 * Where the server can't start in the middle, the data is read up to there and cut.
 */
export async function readRange(
  origin: DownloadOrigin,
  offset: number,
  length: number,
  options: CallOptions,
  tools: Pick<DownloadTools, 'retries' | 'waitMs'>,
): Promise<Uint8Array> {
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
      const outcome = await readOnce(origin, { offset, length, ranged }, options)
      if (outcome !== 'unranged') return outcome
      ranged = false
    } catch (error) {
      if (error instanceof ReplacedError) {
        throw new ImageDownloadFailedError({ imageId: origin.name, reason: error.message, cause: error })
      }
      if (!(error instanceof ConnectionBrokenError)) {
        throw error instanceof HttpStatusError ? (origin.translate?.(error) ?? error) : error
      }
      if (error.fatal || attempt >= tools.retries) {
        const { message: reason } = error
        const made = origin.unreachable?.(reason, error)
        throw made ?? new HttpConnectionFailedError({ reason, cause: error })
      }
      await delay(tools.waitMs(attempt, undefined), options.signal)
    }
  }
}

async function readOnce(
  origin: DownloadOrigin,
  { offset, length, ranged }: { offset: number; length: number; ranged: boolean },
  { signal }: CallOptions,
): Promise<Uint8Array | 'unranged'> {
  const parts: Uint8Array[] = []
  let missing = length
  let skip = 0
  let result: DataAnswer | undefined
  try {
    result = await origin.fetch({
      range: ranged ? { first: offset, last: offset + length - 1 } : undefined,
      signal,
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
    if (status === 204) {
      throw new ImageDownloadFailedError({ imageId: origin.name, reason: 'image contains no data.' })
    }
    if (status === 416) return new Uint8Array()
    if (ranged && (status === 400 || (status === 206 && parts.length === 0))) return 'unranged'
    if (result.error !== undefined) throw result.error
  }
  return Uint8Array.from(Buffer.concat(parts))
}
