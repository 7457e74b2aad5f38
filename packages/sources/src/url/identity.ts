import { ReplacedError } from '@disk-image/http'
import type { ResponseHead } from '@disk-image/http'

/** By what a thing at a URL is known again. */
export interface UrlIdentity {
  /** As it came: with quotes, and `W/` where it is weak. */
  readonly etag: string | undefined
  readonly lastModified: string | undefined
  readonly sizeBytes: number | undefined
  /** What `If-Range` may say: the thing has not changed by a byte. */
  readonly validator: string | undefined
  /** Whether the server says that it can start in the middle, or did. */
  readonly hasRanges: boolean
}

/**
 * Reads the head of an answer with the data, or with a part of them.
 *
 * @param first byte that was asked for, where it was a part
 * @returns undefined where it has neither: what it says then is of nothing
 */
export function identityOf(
  { status, headers }: ResponseHead,
  first: number | undefined,
): UrlIdentity | undefined {
  const [, from, to, total] =
    /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(headers.get('content-range') ?? '') ?? []
  const isPart =
    status === 206 &&
    total !== undefined &&
    Number(from) === first &&
    Number(to) >= first &&
    (total === '*' || Number(to) < Number(total))
  if (status !== 200 && !isPart) return undefined
  const etag = headers.get('etag')
  const lastModified = headers.get('last-modified')
  const length = headers.has('transfer-encoding') ? undefined : headers.get('content-length')
  const size = status === 206 ? total : length
  const isStrong = etag !== undefined && /^"[^"]*"$/.test(etag)
  return {
    etag,
    lastModified,
    sizeBytes: size !== undefined && /^\d{1,15}$/.test(size) ? Number(size) : undefined,
    validator: isStrong ? etag : isSettled(lastModified, headers.get('date')) ? lastModified : undefined,
    hasRanges: status === 206 || /(?:^|,)\s*bytes\s*(?:,|$)/i.test(headers.get('accept-ranges') ?? ''),
  }
}

/**
 * A date has whole seconds: what changed within the second in which it was asked for may change once more in it.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2
 */
function isSettled(lastModified: string | undefined, date: string | undefined): boolean {
  return Date.parse(date ?? '') - Date.parse(lastModified ?? '') >= 1000
}

/**
 * What is known after a further answer.
 *
 * @throws {ReplacedError} where it is of another thing
 */
export function sameIdentity(known: UrlIdentity, now: UrlIdentity): UrlIdentity {
  const fields = { etag: 'ETag', lastModified: 'Last-Modified', sizeBytes: 'length' } as const
  for (const [field, name] of Object.entries(fields) as [keyof typeof fields, string][]) {
    const [before, after] = [known[field], now[field]]
    if (before !== undefined && after !== undefined && before !== after) {
      throw new ReplacedError(`its ${name} changed`)
    }
  }
  return {
    etag: known.etag ?? now.etag,
    lastModified: known.lastModified ?? now.lastModified,
    sizeBytes: known.sizeBytes ?? now.sizeBytes,
    validator: known.validator,
    hasRanges: known.hasRanges || now.hasRanges,
  }
}
