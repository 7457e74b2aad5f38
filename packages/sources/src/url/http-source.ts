import { ImageDownloadFailedError, InvalidError } from '@disk-image/core'
import type { CallOptions, Checksum, DownloadOptions, Source } from '@disk-image/core'
import { isCrc } from '@disk-image/io'
import { createHttpClient } from '@disk-image/http'
import type { BodyTaker, DownloadOrigin, HttpClient, HttpClientOptions } from '@disk-image/http'
import { identityOf, identityToKeep, sameIdentity } from './identity.ts'
import type { UrlIdentity } from './identity.ts'
import { promisesOf } from './promises.ts'

/** Options of a request to a URL. */
export interface UrlOptions extends HttpClientOptions {
  /** Sent to the URL's own origin only, never to where a redirect leads. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** User name and password, sent in the same way. */
  readonly basicAuth?: { readonly user: string; readonly password: string } | undefined
  /** A client to use, in place of the options of one. It stays open. */
  readonly client?: HttpClient | undefined
}

/** Options of {@link httpSource}. */
export interface HttpSourceOptions extends UrlOptions {
  /** What a person calls it. @default the URL without its query */
  readonly name?: string | undefined
  /** More is refused: before a byte where the server says the length, else where it comes. @default no limit */
  readonly maximumBytes?: number | undefined
}

/** An image at a URL. Close it. */
export interface HttpSource extends Source {
  /**
   * The same for the same bytes only, for who keeps some of them: a hash of the URL, without the parameters that sign it,
   * and of the server's strong ETag. Undefined until the first answer, and where there is no such ETag.
   */
  readonly identity: string | undefined
  readonly promises: readonly Checksum[]
  readRange(offset: number, length: number, options?: CallOptions): Promise<Uint8Array>
  /** Asks for the first byte, to learn size, identity and promises. Nothing where they are known. */
  describe(options?: CallOptions): Promise<void>
  close(): Promise<void>
}

/**
 * An image at an http or https URL, also a presigned one. Nothing is requested before the first call.
 *
 * A download that is cut goes on with `Range` and `If-Range`; where the server has no ranges, or nothing by which the
 * bytes are known again, it is read from its start, and what is there already is compared and left out.
 *
 * @throws {InvalidError} where it is no such URL, has a user name or password, or an option is wrong
 */
export function httpSource(url: string | URL, options: HttpSourceOptions = {}): HttpSource {
  const target = parseUrl(url)
  const client = options.client ?? createHttpClient(options)
  const { name = nameOf(target), maximumBytes = Number.POSITIVE_INFINITY } = options
  const headers = requestHeaders(options)
  let identity: UrlIdentity | undefined
  let promises: readonly Checksum[] = []

  /** @param call the download's options, by which it is known whether the bytes will be compared with a hash */
  const originOf = ({ checksums = [], verify }: DownloadOptions): DownloadOrigin => ({
    name,
    hashForReport: 'sha256',
    get expected() {
      return identity === undefined ? undefined : { id: name, size: identity.sizeBytes ?? null }
    },
    get promises() {
      return promises
    },
    get comparesAgain() {
      const isKnownAgain = identity?.validator !== undefined || isCompared(checksums, verify)
      return identity !== undefined && !(identity.hasRanges && isKnownAgain)
    },
    fetch: (request) => {
      const { range, takeBody } = request
      const validator = identity?.validator
      const rest = range !== undefined && range.first > 0 && range.last === undefined
      // Bytes that nothing knows again are not put together from two answers.
      const whole = rest && validator === undefined && !isCompared(checksums, verify)
      const conditional =
        range === undefined || whole || validator === undefined ? {} : { 'If-Range': validator }
      return client.fetchData(
        target,
        { ...headers, ...conditional },
        {
          ...request,
          range: whole ? undefined : range,
          takeBody: (head) => {
            const now = identityOf(head, whole ? undefined : range?.first)
            if (now !== undefined) {
              identity = identity === undefined ? now : sameIdentity(identity, now)
              if (promises.length === 0) promises = promisesOf(head.status, head.headers)
              refuseLong(identity.sizeBytes)
            }
            return bounded(takeBody(head), range?.first ?? 0)
          },
        },
      )
    },
  })
  const isCompared = (checksums: readonly Checksum[], verify: DownloadOptions['verify']): boolean =>
    checksums.length > 0 || (verify !== 'none' && promises.some(({ algorithm }) => !isCrc(algorithm)))
  const refuseLong = (bytes: number | undefined): void => {
    if (bytes === undefined || bytes <= maximumBytes) return
    const reason = `it has more than the ${maximumBytes} bytes that are allowed.`
    throw new ImageDownloadFailedError({ imageId: name, reason })
  }
  /** Where no length was said, what comes is counted. */
  const bounded = (taker: BodyTaker | undefined, from: number): BodyTaker | undefined => {
    if (
      taker === undefined ||
      identity?.sizeBytes !== undefined ||
      maximumBytes === Number.POSITIVE_INFINITY
    ) {
      return taker
    }
    let at = from
    return {
      nextBuffer: () => taker.nextBuffer?.(),
      take: (bytes) => {
        at += bytes.length
        refuseLong(at)
        return taker.take(bytes)
      },
    }
  }

  const source: HttpSource = {
    name,
    get sizeBytes() {
      return identity?.sizeBytes
    },
    get promises() {
      return promises
    },
    get identity() {
      return identityToKeep(target, identity?.etag, identity?.sizeBytes)
    },
    describe: async (call) => {
      if (identity === undefined) await client.readRange(originOf({}), 0, 1, call)
    },
    download: async (sink, call: DownloadOptions = {}) => {
      const { resumeFrom, connections = 1, signal } = call
      if (resumeFrom === undefined && connections === 1) client.warm()
      else await source.describe({ signal })
      return client.download(originOf(call), sink, call)
    },
    readRange: (offset, length, call) => client.readRange(originOf({}), offset, length, call),
    close: async () => {
      if (options.client === undefined) await client.close()
    },
  }
  return source
}

/** @throws {InvalidError} without what may be secret in it */
export function parseUrl(url: string | URL): URL {
  const parsed = URL.canParse(String(url)) ? new URL(url) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
    throw new InvalidError({
      reason: 'An image is read from an http or https URL, such as https://host/disk.qcow2',
    })
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new InvalidError({
      reason: `The URL on ${parsed.host} has a user name or password, which lists of processes and logs would show: give them apart from it, as basicAuth or in a netrc file`,
    })
  }
  parsed.hash = ''
  return parsed
}

/** A URL as it may be told. */
function nameOf({ origin, pathname }: URL): string {
  return `${origin}${pathname}`
}

/** What a request says of itself, and nobody else. */
const ownHeaders =
  /^(?:host|range|if-range|connection|content-length|transfer-encoding|te|upgrade|expect|accept-encoding|proxy-authorization)$/i

/** @throws {InvalidError} for a header that is none, or not the caller's */
export function requestHeaders({ headers = {}, basicAuth }: UrlOptions): Readonly<Record<string, string>> {
  for (const name of Object.keys(headers)) {
    if (!/^[!#$%&'*+\-.^_`|~\w]+$/.test(name) || ownHeaders.test(name)) {
      throw new InvalidError({ reason: `The header ${JSON.stringify(name).slice(0, 60)} can't be given` })
    }
  }
  const isNamed = Object.keys(headers).some((name) => name.toLowerCase() === 'user-agent')
  const all = isNamed ? headers : { 'User-Agent': 'disk-image', ...headers }
  if (basicAuth === undefined) return all
  const login = `${basicAuth.user}:${basicAuth.password}`
  if (basicAuth.user.includes(':')) throw new InvalidError({ reason: 'A user name must not have a colon' })
  return { ...all, Authorization: `Basic ${Buffer.from(login).toString('base64')}` }
}
