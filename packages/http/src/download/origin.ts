import { ConnectionBrokenError, connectionText } from '../errors.ts'
import type { HttpStatusError } from '../errors.ts'
import type { Checksum, Logger } from '@disk-image/core'
import type { BufferPool, ExpectedImage, HashPool } from '@disk-image/io'
import type { BodyTaker } from '../transport/answer-body.ts'
import { codingsOf } from '../transport/collected-body.ts'
import type { ResponseHead } from '../transport/http1.ts'
import type { Timeouts } from '../transport/timeouts.ts'

/** One GET for the bytes of an image, or for a part of them. */
export interface DataRequest {
  /** As `Range: bytes=first-last`; without `last` to the end. Absent: all of it, without the header. */
  readonly range?: { readonly first: number; readonly last?: number | undefined } | undefined
  readonly signal: AbortSignal | undefined
  /** Whether this answer's body is wanted, and by whom; undefined: it is kept as text, for the error. */
  readonly takeBody: (head: ResponseHead) => BodyTaker | undefined
}

/** An answer whose body is complete and taken, with the error that it is if it is one. */
export interface DataAnswer {
  readonly head: ResponseHead
  readonly error: HttpStatusError | undefined
}

/** Who has the bytes of one image: all in which a download from one service differs from one of another. */
export interface DownloadOrigin {
  /** What a person calls it; `imageId` of errors. */
  readonly name: string
  /**
   * What the bytes must be. Where only the answer tells: undefined until `fetch` has seen the first head with data, and
   * then what that says.
   */
  readonly expected: ExpectedImage | undefined
  /** What the source says of its bytes; asked again with the first byte. */
  readonly promises?: readonly Checksum[] | undefined
  /** A hash that is computed for the report where there is nothing to compare with. @default none */
  readonly hashForReport?: string | undefined
  /**
   * Sends the request with all that it needs: address, credentials, `If-Range`; follows redirects. It refuses bodies
   * that are encoded ({@link refuseEncoded}).
   *
   * @throws {ReplacedError} where the answer is of another thing than the one before
   * @throws {ConnectionBrokenError} where the connection fails; after an abort the signal's reason
   */
  fetch(request: DataRequest): Promise<DataAnswer>
  /** Asked before every further request of a download that has begun. @throws {ReplacedError} where it is another image by now */
  checkSame?(signal: AbortSignal): Promise<void>
  /**
   * Whether only the bytes themselves can tell that an answer is of the same thing as the one before: then a download
   * that starts again compares those that it has with what comes. Asked when the first head with data is there.
   */
  readonly comparesAgain?: boolean | undefined
  /** A server that did not get any further is left, where there is another. */
  nextServer?(): void
  /** The class that an answer's error has for this service. @default the error itself */
  translate?(error: HttpStatusError): unknown
  /** The error where no server could be reached. @default an `HttpConnectionFailedError` */
  unreachable?(reason: string, cause: unknown): Error
}

/** What a download uses, and how patient it is. A client makes one for all of its downloads. */
export interface DownloadTools {
  readonly timeouts: Timeouts
  readonly logger: Logger
  /** How often in a row a transfer is tried without getting further. */
  readonly retries: number
  /** How long to wait before a retry. @param retryAfterMs what the service asked for */
  waitMs(attempt: number, retryAfterMs: number | undefined): number
  readonly hashPool: HashPool
  readonly buffers: BufferPool
}

/** An image's data are hashed as they are, and continued at an offset: neither goes with a body that was encoded. */
export function refuseEncoded(url: URL, { status, headers }: ResponseHead): void {
  const codings = codingsOf(headers)
  if (status >= 300 || codings.length === 0) return
  const names = JSON.stringify(codings.join(', ').slice(0, 80))
  const reason = `the data come with the encoding ${names}, although none was asked for: something on the way compresses them`
  throw new ConnectionBrokenError('body', connectionText(url, 'body', reason), { fatal: true })
}

/**
 * Whether a 206 answers the question that was asked.
 *
 * @param last undefined: to the end, which the answer must say then
 * @param size of the image, where it is known
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.4
 */
export function isRequestedRange(
  header: string | undefined,
  first: number,
  last: number | undefined,
  size: number | undefined,
): boolean {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(header ?? '')
  if (match === null) return false
  const [from, to, total] = [Number(match[1]), Number(match[2]), match[3] ?? '']
  if (from !== first || to < from) return false
  if (last === undefined ? Number(total) !== to + 1 : to !== last) return false
  return size === undefined || total === '*' || Number(total) === size
}

/** What a log says of a retry: `in 1 s (1 of 3): connection refused`, or `now: …`. */
export function retryText(error: unknown, waitMs: number, attempt: number, retries: number): string {
  const reason = error instanceof Error ? error.message : 'the connection broke'
  return waitMs === 0 ? `now: ${reason}` : `in ${waitMs / 1000} s (${attempt} of ${retries}): ${reason}`
}
