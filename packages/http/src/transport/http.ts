import { jsonDepth } from '@disk-image/core'
import { ConnectionBrokenError, connectionText } from '../errors.ts'
import { collectBody } from './collected-body.ts'
import type { ConnectionPool } from './connection-pool.ts'
import type { TlsOptions } from './connection.ts'
import { exchange } from './exchange.ts'
import type { ExchangeRequest, ExchangeResult } from './exchange.ts'
import type { ProxyOptions } from './proxy.ts'
import type { Timeouts } from './timeouts.ts'

/** A small request. */
export interface HttpRequest {
  readonly method: ExchangeRequest['method']
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
  /** What is left of the time for all tries. */
  readonly limitMs?: number | undefined
  /** The longest answer, decoded. @default 1 MiB */
  readonly maximumBytes?: number | undefined
}

/** An answer, read whole. */
export interface HttpResponse {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
  /** The origin of the proxy that the request was handed to. The answer may be its own. */
  readonly proxy?: string | undefined
  /** Who answered, without what may be secret. */
  readonly url: string
}

/** Requests whose bodies are small: everything but images' data. */
export interface Http {
  /** @throws {ConnectionBrokenError}; after an abort the signal's reason */
  send(request: HttpRequest): Promise<HttpResponse>
  close(): Promise<void>
}

/** What carries requests: connections of our own, or undici's. Both know no other limits than those given. */
export interface Carrier {
  /** @throws {ConnectionBrokenError}; what the taker throws, and after an abort the signal's reason, as it is */
  carry(
    request: Pick<ExchangeRequest, 'url' | 'method' | 'headers' | 'text' | 'takeBody'> & {
      readonly signal: AbortSignal
      readonly limitMs: number
    },
  ): Promise<Pick<ExchangeResult, 'head' | 'text' | 'proxy'>>
  close(): Promise<void>
}

/** The way to the servers. */
export interface Route {
  readonly tls?: TlsOptions | undefined
  readonly proxy?: ProxyOptions | undefined
}

/** No answer is as long, but for those that say so. */
const defaultMaximumBytes = 1024 * 1024

/** Connections of our own, shared with the data where they come from the same pool. */
export function ownConnections(timeouts: Timeouts, route: Route, connections: ConnectionPool): Carrier {
  return {
    carry: ({ limitMs, ...request }) =>
      exchange({
        ...request,
        ...route,
        connections,
        timeouts: { ...timeouts, headersTimeoutMs: limitMs, idleTimeoutMs: limitMs },
      }),
    close: async () => connections.close(),
  }
}

/** Small requests over a carrier: in time, and with answers of a bounded length. */
export function createHttp(timeouts: Pick<Timeouts, 'headersTimeoutMs'>, carrier: Carrier): Http {
  return {
    send: async (request) => {
      const { url, method, headers, signal: caller, maximumBytes = defaultMaximumBytes } = request
      caller?.throwIfAborted()
      // One limit over everything: slow headers, endless headers and bodies that trickle.
      const limitMs = limitOf(request, timeouts)
      const limit = AbortSignal.timeout(limitMs)
      const body = collectBody(maximumBytes)
      try {
        const { head, text, proxy } = await carrier.carry({
          url,
          method,
          headers,
          // Some servers refuse one of these without a length.
          text: request.body ?? (method.startsWith('P') ? '' : undefined),
          limitMs,
          signal: caller === undefined ? limit : AbortSignal.any([caller, limit]),
          takeBody: ({ status }) => {
            if (status >= 300) return undefined
            return {
              take: (bytes) => {
                if (!body.add(bytes)) throw wrong(url, `the answer has more than ${maximumBytes} bytes`)
                return undefined
              },
            }
          },
        })
        const { status } = head
        const words = status >= 300 ? text : textOf(url, () => body.text(head.headers))
        return { status, headers: head.headers, text: words, url: plainUrl(url), proxy }
      } catch (error) {
        caller?.throwIfAborted()
        if (!limit.aborted) throw error
        const seconds = (limitMs / 1000).toFixed(1).replace('.0', '')
        const reason = connectionText(url, 'headers', `no answer within ${seconds} s`)
        throw new ConnectionBrokenError('headers', reason, { cause: error })
      }
    },
    close: () => carrier.close(),
  }
}

function limitOf(
  { timeoutMs, limitMs = Number.POSITIVE_INFINITY }: HttpRequest,
  { headersTimeoutMs }: Pick<Timeouts, 'headersTimeoutMs'>,
): number {
  return Math.max(1, Math.round(Math.min(timeoutMs ?? headersTimeoutMs, limitMs)))
}

/** A URL as it may be told. */
export function plainUrl({ origin, pathname }: URL): string {
  return `${origin}${pathname}`
}

function textOf(url: URL, decode: () => string): string {
  try {
    return decode()
  } catch (error) {
    throw error instanceof SyntaxError ? wrong(url, error.message) : error
  }
}

/** An answer that another try would not mend. */
function wrong(url: URL, reason: string): ConnectionBrokenError {
  return new ConnectionBrokenError('body', connectionText(url, 'body', reason), { fatal: true })
}

/**
 * How long a service asked to wait, from `Retry-After` in seconds or as a date by the service's own clock, which `Date`
 * says; ours may be wrong.
 *
 * @returns milliseconds, undefined where there is nothing usable
 */
export function retryAfterMs(headers: ReadonlyMap<string, string>): number | undefined {
  const value = headers.get('retry-after')
  if (value === undefined || value.length > 64) return undefined
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000
  const [until, now] = [Date.parse(value), Date.parse(headers.get('date') ?? '')]
  return Number.isNaN(until) ? undefined : Math.max(0, until - (Number.isNaN(now) ? Date.now() : now))
}

/** Answers after which the same request may succeed. */
export function isPassing(status: number): boolean {
  return status === 429 || status === 502 || status === 503 || status === 504
}

/** No answer of these services is as deep. */
const maximumDepth = 64
/** Values take up to a hundred times the memory of their text: as many as a page of a thousand images has, and more. */
const maximumValues = 200_000

/** Nesting and number of values are bounded before anything is made of the text. @throws {SyntaxError} */
export function readJson(text: string): unknown {
  if (jsonDepth(text) > maximumDepth) {
    throw new SyntaxError(`its JSON is nested more than ${maximumDepth} levels deep`)
  }
  if (hasMore(text, maximumValues)) throw new SyntaxError(`its JSON has more than ${maximumValues} values`)
  try {
    return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text) as unknown
  } catch {
    // The message of Node.js quotes the text.
    throw new SyntaxError('it is no JSON')
  }
}

/** Whether more values begin in the text than these; what stands in strings counts, too. */
function hasMore(text: string, values: number): boolean {
  let begun = 0
  for (let at = 0; at < text.length && begun <= values; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 0x2c || code === 0x5b || code === 0x7b) begun += 1
  }
  return begun > values
}
