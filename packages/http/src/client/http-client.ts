import { adaptLogger } from '@disk-image/core'
import type { ByteSink, CallOptions, DownloadOptions, DownloadReport, Logger } from '@disk-image/core'
import { BufferPool, HashPool } from '@disk-image/io'
import { download } from '../download/download.ts'
import { refuseEncoded, retryText } from '../download/origin.ts'
import type { DataAnswer, DataRequest, DownloadOrigin, DownloadTools } from '../download/origin.ts'
import { readRange } from '../download/read-range.ts'
import {
  AddressRefusedError,
  ConnectionBrokenError,
  connectionText,
  HttpConnectionFailedError,
  HttpStatusError,
} from '../errors.ts'
import { guardAddresses } from '../transport/addresses.ts'
import type { AddressGuard, AddressPolicy, Resolver } from '../transport/addresses.ts'
import type { BodyTaker } from '../transport/answer-body.ts'
import { createConnectionPool } from '../transport/connection-pool.ts'
import type { TlsOptions } from '../transport/connection.ts'
import { describeStatus } from '../transport/error-text.ts'
import { exchange } from '../transport/exchange.ts'
import type { ExchangeRequest, ExchangeResult } from '../transport/exchange.ts'
import { createHttp, isPassing } from '../transport/http.ts'
import type { HttpResponse } from '../transport/http.ts'
import type { ResponseHead } from '../transport/http1.ts'
import { secretsOf } from '../transport/mask-secrets.ts'
import type { ProxyOptions } from '../transport/proxy.ts'
import type { RequestBody } from '../transport/send-body.ts'
import { delay, resolveTimeouts } from '../transport/timeouts.ts'
import type { Timeouts } from '../transport/timeouts.ts'

/** Settings of an {@link HttpClient}. */
export interface HttpClientOptions extends Partial<Timeouts> {
  readonly tls?: TlsOptions | undefined
  /** Servers (`host`, or `host:port`) whose certificates are taken unseen. @default none */
  readonly insecureHosts?: readonly string[] | undefined
  /** @default none: servers are reached directly. Behind a proxy names are checked here, and resolved once more there. */
  readonly proxy?: ProxyOptions | undefined
  /** Where requests and redirects may lead. @default http and https on the public internet, as for strangers' URLs */
  readonly allow?: AddressPolicy | undefined
  /** Resolves names in place of Node.js. Addresses are checked all the same. */
  readonly resolver?: Resolver | undefined
  /** How often a request that only reads, or a transfer that gets no further, is retried. @default 3 */
  readonly retries?: number | undefined
  /** Before the first retry; doubled for each further one. @default 1000 */
  readonly retryDelayMs?: number | undefined
  /** The longest wait, also where the service asks for more. @default 30 000 */
  readonly maximumRetryDelayMs?: number | undefined
  /** @default 10 */
  readonly maximumRedirects?: number | undefined
  readonly logger?: Logger | undefined
}

/** One request. */
export interface ClientRequest {
  /** @default GET */
  readonly method?: ExchangeRequest['method'] | undefined
  readonly url: URL
  /** Another origin, to which a redirect leads, gets only `Accept`, `Range`, `If-Range` and `User-Agent` of them. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** A small body. */
  readonly text?: string | undefined
  /** A large one, in its place. Read once: it is neither retried nor sent to where a redirect leads. */
  readonly body?: RequestBody | undefined
  readonly signal?: AbortSignal | undefined
  /** Whether redirects are followed. @default true, of GET and HEAD */
  readonly follow?: boolean | undefined
  /** The name of the header in which the service names the request. @default x-request-id */
  readonly requestIdHeader?: string | undefined
  /** Asked for statuses below 300; what nobody takes is kept as text, up to 64 KiB. */
  takeBody?(head: ResponseHead): BodyTaker | undefined
}

/** An answer whose body is complete and taken. */
export interface ClientAnswer extends Omit<ExchangeResult, 'proxy'> {
  /** Who answered, behind all redirects. It may hold secrets. */
  readonly url: URL
  /** What a status from 300 on means; without secrets. */
  readonly error: HttpStatusError | undefined
}

/** Requests to any servers, over kept connections; redirects and addresses are checked. */
export interface HttpClient extends AsyncDisposable {
  /**
   * Sends a request once and follows redirects of those that only read (GET, HEAD).
   *
   * @throws {AddressRefusedError}, {@link ConnectionBrokenError}; what a taker throws; after an abort the signal's reason
   */
  send(request: ClientRequest): Promise<ClientAnswer>
  /**
   * Reads a small answer whole, with retries of what only reads.
   *
   * @throws {HttpStatusError} for every status from 300 on; {@link HttpConnectionFailedError}, {@link AddressRefusedError}
   */
  read(
    request: ClientRequest & {
      /** The longest answer. @default 1 MiB */
      readonly maximumBytes?: number | undefined
    },
  ): Promise<HttpResponse & { readonly finalUrl: URL }>
  /** A {@link DataRequest} for a URL, as a {@link DownloadOrigin} needs it. */
  fetchData(
    url: URL,
    headers: Readonly<Record<string, string>>,
    request: DataRequest,
  ): Promise<DataAnswer & { readonly url: URL }>
  /** Downloads whole, resumed, in order and verified; see {@link download}. */
  download(origin: DownloadOrigin, sink: ByteSink, options?: DownloadOptions): Promise<DownloadReport>
  /** Reads a part, not verified. */
  readRange(
    origin: DownloadOrigin,
    offset: number,
    length: number,
    options?: CallOptions,
  ): Promise<Uint8Array>
  /** Starts what takes a while to start, before a download. */
  warm(): void
  close(): Promise<void>
}

/** Headers that say nothing about who asks. */
const harmless = /^(?:accept|range|if-range|user-agent)$/i

/** Makes a client. Close it. @throws {InvalidError} where an option is wrong */
export function createHttpClient(options: HttpClientOptions = {}): HttpClient {
  return Object.freeze(new Client(options))
}

/** Where a request goes by now, and with what. */
interface Hop {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}

class Client implements HttpClient {
  readonly #options: HttpClientOptions
  readonly #allow: AddressPolicy
  readonly #guard: AddressGuard
  readonly #connections = createConnectionPool()
  readonly #tools: DownloadTools

  constructor(options: HttpClientOptions) {
    const { allow = {}, retries = 3, retryDelayMs = 1000, maximumRetryDelayMs = 30_000 } = options
    this.#options = options
    this.#allow = allow
    this.#guard = guardAddresses(allow, options.resolver)
    this.#tools = {
      timeouts: resolveTimeouts(options),
      logger: adaptLogger(options.logger),
      retries,
      waitMs: (attempt, retryAfterMs) =>
        Math.min(retryAfterMs ?? retryDelayMs * 2 ** attempt, maximumRetryDelayMs),
      hashPool: new HashPool(),
      buffers: new BufferPool({ bufferBytes: 1024 * 1024 }),
    }
  }

  async send(request: ClientRequest, limits: Timeouts = this.#tools.timeouts): Promise<ClientAnswer> {
    const { method = 'GET', requestIdHeader = 'x-request-id' } = request
    const { maximumRedirects = 10 } = this.#options
    let hop: Hop = { url: request.url, headers: request.headers ?? {} }
    refuseLogin(hop.url)
    const secrets = secretsIn(hop.url, hop.headers)
    for (let redirects = 0; ; redirects += 1) {
      const { url } = hop
      const result = await this.#exchange(request, hop, limits)
      const { head, text, proxy } = result
      const isRead = method === 'GET' || method === 'HEAD'
      const target = isRead && request.follow !== false ? redirectOf(url, head) : undefined
      if (target === undefined) {
        const answer = { status: head.status, headers: head.headers, text, proxy }
        const said =
          head.status < 300 ? undefined : describeStatus(method, url, answer, secrets, requestIdHeader)
        return { ...result, url, error: said && new HttpStatusError(said) }
      }
      if (redirects >= maximumRedirects) {
        const reason = `it redirects more than ${maximumRedirects} times`
        throw new ConnectionBrokenError('headers', connectionText(url, 'headers', reason), { fatal: true })
      }
      hop = this.#follow(hop, target)
      secrets.push(...secretsIn(target, {}))
    }
  }

  #exchange(request: ClientRequest, { url, headers }: Hop, timeouts: Timeouts): Promise<ExchangeResult> {
    const { method = 'GET', text, body, signal } = request
    const { tls, proxy, insecureHosts = [] } = this.#options
    return exchange({
      method,
      url,
      headers,
      timeouts,
      tls: insecureHosts.includes(url.host) ? { ...tls, insecure: true } : tls,
      proxy,
      guard: this.#guard,
      connections: this.#connections,
      signal,
      text,
      body,
      takeBody: (head) => (head.status < 300 ? request.takeBody?.(head) : undefined),
    })
  }

  /** Another origin learns nothing of who asks. */
  #follow({ url, headers }: Hop, target: URL): Hop {
    refuseLogin(target)
    if (url.protocol === 'https:' && target.protocol === 'http:' && this.#allow.downgrade !== true) {
      const reason = `${url.host} redirects there from https, and http shows and trusts what anybody on the way has`
      throw new AddressRefusedError({ rule: 'downgrade', host: target.hostname, reason })
    }
    if (target.origin === url.origin) return { url: target, headers }
    const kept = Object.entries(headers).filter(([name]) => harmless.test(name))
    return { url: target, headers: Object.fromEntries(kept) }
  }

  async read(request: Parameters<HttpClient['read']>[0]): Promise<HttpResponse & { readonly finalUrl: URL }> {
    const endMs = performance.now() + this.#tools.timeouts.callTimeoutMs
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#readOnce(request, endMs - performance.now())
      } catch (error) {
        await this.#beforeRetry(error, request, attempt, endMs)
      }
    }
  }

  /** Waits, or throws where another try is not allowed or won't help. */
  async #beforeRetry(
    failure: unknown,
    { signal, method = 'GET' }: ClientRequest,
    attempt: number,
    endMs: number,
  ): Promise<void> {
    const { retries, logger } = this.#tools
    const isStatus = failure instanceof HttpStatusError
    const isBroken = failure instanceof ConnectionBrokenError
    const passing = isStatus ? isPassing(failure.status) : isBroken && !failure.fatal
    const mayRetry = (method === 'GET' || method === 'HEAD') && attempt < retries
    const wait = this.#tools.waitMs(attempt, isStatus ? failure.retryAfterMs : undefined)
    if (!mayRetry || !passing || performance.now() + wait >= endMs) {
      if (!isBroken) throw failure
      throw new HttpConnectionFailedError({ reason: failure.message, cause: failure })
    }
    logger.warn(`Retrying ${retryText(failure, wait, attempt + 1, retries)}`)
    await delay(wait, signal)
  }

  async #readOnce(
    request: Parameters<HttpClient['read']>[0],
    limitMs: number,
  ): Promise<HttpResponse & { readonly finalUrl: URL }> {
    const { url, text: body, signal, maximumBytes, headers = {}, method = 'GET' } = request
    const { timeouts } = this.#tools
    let answer: ClientAnswer | undefined
    const http = createHttp(timeouts, {
      carry: async ({ limitMs: idleMs, ...carried }) => {
        const limits = { ...timeouts, headersTimeoutMs: idleMs, idleTimeoutMs: idleMs }
        answer = await this.send({ ...request, ...carried, takeBody: carried.takeBody }, limits)
        return answer
      },
      close: async () => undefined,
    })
    const response = await http.send({ method, url, headers, body, signal, maximumBytes, limitMs })
    if (answer?.error !== undefined) throw answer.error
    return { ...response, finalUrl: answer?.url ?? url }
  }

  fetchData(
    url: URL,
    headers: Readonly<Record<string, string>>,
    { range, signal, takeBody }: DataRequest,
  ): Promise<DataAnswer & { readonly url: URL }> {
    const part = range === undefined ? {} : { Range: `bytes=${range.first}-${range.last ?? ''}` }
    return this.send({
      url,
      headers: { ...headers, ...part },
      signal,
      takeBody: (head) => {
        refuseEncoded(url, head)
        return takeBody(head)
      },
    })
  }

  download(origin: DownloadOrigin, sink: ByteSink, call: DownloadOptions = {}): Promise<DownloadReport> {
    return download(origin, sink, call, this.#tools)
  }

  readRange(
    origin: DownloadOrigin,
    offset: number,
    length: number,
    call: CallOptions = {},
  ): Promise<Uint8Array> {
    return readRange(origin, offset, length, call, this.#tools)
  }

  warm(): void {
    this.#tools.hashPool.warm()
  }

  async close(): Promise<void> {
    this.#tools.buffers.close()
    this.#connections.close()
    await this.#tools.hashPool.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** Where an answer redirects to; undefined where it does not. */
function redirectOf(url: URL, { status, headers }: ResponseHead): URL | undefined {
  const location = headers.get('location')
  if (![301, 302, 303, 307, 308].includes(status) || location === undefined) return undefined
  return URL.canParse(location, url.href) ? new URL(location, url) : undefined
}

/** User name and password in a URL end up in logs and lists of processes. */
function refuseLogin({ username, password, hostname }: URL): void {
  if (username === '' && password === '') return
  const reason = 'its URL has a user name or password: give them apart from it'
  throw new AddressRefusedError({ rule: 'credentials', host: hostname, reason })
}

/** What a server may repeat and nobody may read: what signs a URL, and all that looks secret among the headers. */
function secretsIn(url: URL, headers: Readonly<Record<string, string>>): string[] {
  const custom = Object.entries(headers).filter(([name]) => !harmless.test(name) && !/^content-/i.test(name))
  const values = [...url.searchParams.values(), ...custom.map(([, value]) => value)]
  return [...secretsOf(headers), ...values.filter((value) => value.length >= 8)]
}
