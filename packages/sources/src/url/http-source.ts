import { ImageDownloadFailedError, InvalidError } from '@disk-image/core'
import type {
  ByteSink,
  CallOptions,
  Checksum,
  DownloadOptions,
  DownloadReport,
  OverlappedSink,
  Source,
} from '@disk-image/core'
import { isCrc } from '@disk-image/io'
import { createHttpClient } from '@disk-image/http'
import type {
  BodyTaker,
  DataAnswer,
  DataRequest,
  DownloadOrigin,
  HttpClient,
  HttpClientOptions,
  ResponseHead,
} from '@disk-image/http'
import { HeldAnswer } from './held-answer.ts'
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
  peek(length: number, options?: CallOptions): Promise<Uint8Array>
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
  const headers = requestHeaders(options)
  const client = options.client ?? createHttpClient(options)
  return new UrlSource(target, headers, client, options)
}

class UrlSource implements HttpSource {
  readonly name: string
  readonly #target: URL
  readonly #headers: Readonly<Record<string, string>>
  readonly #client: HttpClient
  readonly #ownsClient: boolean
  readonly #maximumBytes: number
  #known: UrlIdentity | undefined
  #promises: readonly Checksum[] = []
  /** An answer whose first bytes were looked at, for the next download. */
  #held: HeldAnswer | undefined

  constructor(
    target: URL,
    headers: Readonly<Record<string, string>>,
    client: HttpClient,
    { name = nameOf(target), maximumBytes = Number.POSITIVE_INFINITY, client: given }: HttpSourceOptions,
  ) {
    this.name = name
    this.#target = target
    this.#headers = headers
    this.#client = client
    this.#ownsClient = given === undefined
    this.#maximumBytes = maximumBytes
  }

  get sizeBytes(): number | undefined {
    return this.#known?.sizeBytes
  }

  get promises(): readonly Checksum[] {
    return this.#promises
  }

  get identity(): string | undefined {
    return identityToKeep(this.#target, this.#known?.etag, this.#known?.sizeBytes)
  }

  async describe(call: CallOptions = {}): Promise<void> {
    if (this.#known === undefined) await this.readRange(0, 1, call)
  }

  async peek(length: number, call: CallOptions = {}): Promise<Uint8Array> {
    this.#held?.drop()
    const held = new HeldAnswer(length, (request) =>
      this.#client.fetchData(this.#target, this.#headers, {
        ...request,
        takeBody: (head) => {
          const isWhole = head.status === 200
          if (isWhole) this.#note(head, undefined)
          return isWhole ? request.takeBody(head) : undefined
        },
      }),
    )
    const first = await held.first(call.signal)
    // Whatever is wrong with it: the usual way says so, after its retries.
    if (first === undefined) return this.readRange(0, length, call)
    this.#held = held
    return first
  }

  async download(sink: ByteSink | OverlappedSink, call: DownloadOptions = {}): Promise<DownloadReport> {
    const { resumeFrom, connections = 1, signal } = call
    if (resumeFrom === undefined && connections === 1) this.#client.warm()
    else {
      this.#held?.drop()
      await this.describe({ signal })
    }
    return this.#client.download(this.#originOf(call), sink, call)
  }

  readRange(offset: number, length: number, call?: CallOptions): Promise<Uint8Array> {
    return this.#client.readRange(this.#originOf({}), offset, length, call)
  }

  async close(): Promise<void> {
    this.#held?.drop()
    if (this.#ownsClient) await this.#client.close()
  }

  /** @param call the download's options, by which it is known whether the bytes will be compared with a hash */
  #originOf({ checksums = [], verify }: DownloadOptions): DownloadOrigin {
    const isCompared = (): boolean =>
      checksums.length > 0 || (verify !== 'none' && this.#promises.some(({ algorithm }) => !isCrc(algorithm)))
    const expected = (): DownloadOrigin['expected'] =>
      this.#known === undefined ? undefined : { id: this.name, size: this.#known.sizeBytes ?? null }
    const promises = (): readonly Checksum[] => this.#promises
    const comparesAgain = (): boolean => {
      const isKnownAgain = this.#known?.validator !== undefined || isCompared()
      return this.#known !== undefined && !(this.#known.hasRanges && isKnownAgain)
    }
    return {
      name: this.name,
      hashForReport: 'sha256',
      get expected() {
        return expected()
      },
      get promises() {
        return promises()
      },
      get comparesAgain() {
        return comparesAgain()
      },
      fetch: (request) => this.#fetch(request, isCompared()),
    }
  }

  async #fetch({ range, takeBody, signal }: DataRequest, isCompared: boolean): Promise<DataAnswer> {
    const held = range === undefined ? this.#held : undefined
    if (held?.waits === true) {
      this.#held = undefined
      return held.handOn({ signal, takeBody: (head) => this.#bounded(takeBody(head), 0) })
    }
    const validator = this.#known?.validator
    const rest = range !== undefined && range.first > 0 && range.last === undefined
    // Bytes that nothing knows again are not put together from two answers.
    const asked = rest && validator === undefined && !isCompared ? undefined : range
    const conditional = asked === undefined || validator === undefined ? {} : { 'If-Range': validator }
    const headers = { ...this.#headers, ...conditional }
    return this.#client.fetchData(this.#target, headers, {
      range: asked,
      signal,
      takeBody: (head) => {
        this.#note(head, asked?.first)
        return this.#bounded(takeBody(head), range?.first ?? 0)
      },
    })
  }

  /** @param first byte that was asked for, where it was a part */
  #note(head: ResponseHead, first: number | undefined): void {
    const now = identityOf(head, first)
    if (now === undefined) return
    this.#known = this.#known === undefined ? now : sameIdentity(this.#known, now)
    if (this.#promises.length === 0) this.#promises = promisesOf(head.status, head.headers)
    this.#refuseLong(this.#known.sizeBytes)
  }

  #refuseLong(bytes: number | undefined): void {
    if (bytes === undefined || bytes <= this.#maximumBytes) return
    const reason = `it has more than the ${this.#maximumBytes} bytes that are allowed.`
    throw new ImageDownloadFailedError({ imageId: this.name, reason })
  }

  /** Where no length was said, what comes is counted. */
  #bounded(taker: BodyTaker | undefined, from: number): BodyTaker | undefined {
    const isKnown = this.#known?.sizeBytes !== undefined
    if (taker === undefined || isKnown || this.#maximumBytes === Number.POSITIVE_INFINITY) return taker
    let at = from
    return {
      nextBuffer: () => taker.nextBuffer?.(),
      take: (bytes) => {
        at += bytes.length
        this.#refuseLong(at)
        return taker.take(bytes)
      },
    }
  }
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
