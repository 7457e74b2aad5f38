import { createHash } from 'node:crypto'
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
  return {
    etag,
    lastModified,
    sizeBytes: size !== undefined && /^\d{1,15}$/.test(size) ? Number(size) : undefined,
    validator:
      etag !== undefined && isStrong(etag)
        ? etag
        : isSettled(lastModified, headers.get('date'))
          ? lastModified
          : undefined,
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

/**
 * What signs a URL, by who signs: parameters that say that it is signed so, and all that come with them. They change with
 * each call; every other parameter may choose another image.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
 * @see https://cloud.google.com/storage/docs/authentication/canonical-requests
 * @see https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-signed-urls.html
 * @see https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas
 * @see https://docs.openstack.org/swift/latest/api/temporary_url_middleware.html
 */
const signatures: readonly { readonly by: readonly string[]; readonly all: RegExp }[] = [
  { by: ['x-amz-signature'], all: /^x-amz-/ },
  { by: ['x-goog-signature'], all: /^x-goog-/ },
  { by: ['x-oss-signature'], all: /^x-oss-/ },
  ...['awsaccesskeyid', 'googleaccessid', 'ossaccesskeyid', 'key-pair-id'].map((who) => ({
    by: ['signature', who],
    all: /^(?:signature|expires|policy|hash-algorithm|(?:aws|oss)accesskeyid|googleaccessid|key-pair-id|x-amz-security-token|security-token)$/,
  })),
  {
    by: ['sig', 'sv'],
    all: /^(?:s[eiprstv]|sig|sip|spr|srt|sdd|ses|ske|sks|skt|skv|skoid|sktid|saoid|suoid|scid)$/,
  },
  { by: ['temp_url_sig'], all: /^temp_url_(?:sig|expires|ip_range|prefix)$/ },
]

/** The address of a thing, whoever may read it: its URL without the parameters that sign it. It may hold secrets. */
export function addressOf({ origin, pathname, search }: URL): string {
  const parameters = search.slice(1).split('&')
  const names = parameters.map((one) => nameOfParameter(one))
  const found = signatures.filter(({ by }) => by.every((name) => names.includes(name)))
  const rest = parameters.filter((_, index) => !found.some(({ all }) => all.test(names[index] ?? '')))
  return `${origin}${pathname}?${rest.join('&')}`
}

function nameOfParameter(parameter: string): string {
  const [name = ''] = new URLSearchParams(parameter).keys()
  return name.toLowerCase()
}

/**
 * By what a thing is known to who keeps its bytes: its address and its strong ETag, as a hash. Undefined where there is
 * none: a weak one, or a date, may be the same for other bytes.
 */
export function identityToKeep(
  url: URL,
  etag: string | undefined,
  sizeBytes: number | undefined,
): string | undefined {
  if (etag === undefined || !isStrong(etag)) return undefined
  return createHash('sha256')
    .update(JSON.stringify([addressOf(url), etag, sizeBytes ?? null]))
    .digest('hex')
}

function isStrong(etag: string): boolean {
  return /^"[^"]*"$/.test(etag)
}
