import { ConnectionBrokenError } from '../errors/connection-broken-error.ts'
import { collectBody } from './collected-body.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { connectionText } from './connection-reason.ts'
import { exchange } from './exchange.ts'
import type { ProxyOptions } from './proxy.ts'
import type { RequestBody } from './send-body.ts'
import type { Timeouts } from './timeouts.ts'
import type { TlsOptions } from './tls-options.ts'

/** The way to the servers. */
export interface Route {
  readonly tls?: TlsOptions | undefined
  readonly proxy?: ProxyOptions | undefined
}

/** A small request. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
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
}

/** No answer is as long, but for those that say so. */
const defaultMaximumBytes = 1024 * 1024
/** What a service says about an error needs no more, and what is left is not read. */
const maximumErrorBytes = 64 * 1024

/**
 * Small requests, each over a connection of its own.
 *
 * @param route for all requests
 * @param connections takes requests that only read: a download's record then comes over the connection that brings
 * its data
 */
export function createHttp(timeouts: Timeouts, route: Route, connections?: ConnectionPool): Http {
  return { send: (request) => send(request, { timeouts, route, connections }) }
}

interface Means {
  readonly timeouts: Timeouts
  readonly route: Route
  readonly connections: ConnectionPool | undefined
}

async function send(request: HttpRequest, { timeouts, route, connections }: Means): Promise<HttpResponse> {
  const { url, method, headers, signal: caller } = request
  caller?.throwIfAborted()
  // One limit over everything: slow headers, endless headers and bodies that trickle.
  const limitMs = limitOf(request, timeouts)
  const limit = AbortSignal.timeout(limitMs)
  let body: Collector | undefined
  try {
    const { head, text, proxy } = await exchange({
      url,
      method,
      headers,
      body: bodyOf(request),
      timeouts: {
        ...timeouts,
        headersTimeoutMs: limitMs,
        idleTimeoutMs: limitMs,
        storeTimeoutMs: limitMs,
      },
      tls: route.tls,
      proxy: route.proxy,
      // What changes something must not be sent twice, which a kept connection may take.
      connections: method === 'GET' ? connections : undefined,
      signal: caller === undefined ? limit : AbortSignal.any([caller, limit]),
      takeBody: ({ status }) => {
        if (status >= 300) return undefined
        const collector = createCollector(request, status)
        body = collector
        return { take: (bytes) => void collector.take(bytes) }
      },
    })
    return {
      status: head.status,
      headers: head.headers,
      text: body?.text(head.headers) ?? text,
      url: plainUrl(url),
      proxy,
    }
  } catch (error) {
    caller?.throwIfAborted()
    if (!limit.aborted) throw error
    const seconds = (limitMs / 1000).toFixed(1).replace('.0', '')
    const reason = connectionText(url, 'headers', `no answer within ${seconds} s`)
    throw new ConnectionBrokenError('headers', reason, { cause: error })
  }
}

/** Sent at once: asking before costs a round trip, and more where nobody answers. */
function bodyOf({ method, body }: HttpRequest): RequestBody | undefined {
  if (body === undefined && (method === 'GET' || method === 'DELETE')) return undefined
  const bytes = Buffer.from(body ?? '')
  return {
    size: bytes.length,
    expectsContinue: false,
    async *open() {
      if (bytes.length > 0) yield bytes
    },
  }
}

function limitOf({ timeoutMs, limitMs = Number.POSITIVE_INFINITY }: HttpRequest, timeouts: Timeouts): number {
  return Math.max(1, Math.round(Math.min(timeoutMs ?? timeouts.headersTimeoutMs, limitMs)))
}

/** A URL as it may be told. */
export function plainUrl({ origin, pathname }: URL): string {
  return `${origin}${pathname}`
}

interface Collector {
  /** Returns false where the rest is not wanted. @throws {ConnectionBrokenError} where it has more than it may */
  take(bytes: Uint8Array): boolean
  text(headers: ReadonlyMap<string, string>): string
}

/** Collects an answer: a good one whole, of an error its beginning. */
function createCollector(
  { url, maximumBytes = defaultMaximumBytes }: HttpRequest,
  status: number,
): Collector {
  const wrong = (reason: string): ConnectionBrokenError =>
    new ConnectionBrokenError('body', connectionText(url, 'body', reason), { fatal: true })
  const isError = status >= 300
  const collected = collectBody(isError ? maximumErrorBytes : maximumBytes)
  return {
    take: (bytes) => {
      if (collected.add(bytes)) return true
      if (isError) return false
      throw wrong(`the answer has more than ${maximumBytes} bytes`)
    },
    text: (headers) => {
      try {
        return collected.text(headers)
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error
        if (isError) return error.message
        throw wrong(error.message)
      }
    },
  }
}
