import type { Dispatcher } from 'undici'
import { ConnectionBrokenError } from '../errors/connection-broken-error.ts'
import { openAgent } from './agent.ts'
import type { OpenAgent, Route } from './agent.ts'
import { collectBody } from './collected-body.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { codeOf, connectionReason, connectionText } from './connection-reason.ts'
import { exchange, maximumInterimAnswers } from './exchange.ts'
import { chooseProxy } from './proxy.ts'
import { proxyRefusal, throughProxy, withoutLogin } from './proxy-errors.ts'
import type { Timeouts } from './timeouts.ts'

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
  close(): Promise<void>
}

/** No answer is as long, but for those that say so. */
const defaultMaximumBytes = 1024 * 1024
/** What a service says about an error needs no more, and what is left is not read. */
const maximumErrorBytes = 64 * 1024

/** Failures before the request was on its way. A broken record (`ERR_SSL_…BAD_RECORD_MAC`) may come after it. */
const connectCodes =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|INVALID_CA|ERR_TLS_CERT|ERR_SSL_WRONG_VERSION|ERR_SSL_[\w/]*ALERT_(HANDSHAKE|PROTOCOL|CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA))/

/**
 * An undici agent of its own, so that no other user of the process is met.
 *
 * @param route for all requests
 * @param connections takes requests that only read: a download's record then comes over the connection that brings
 * its data, and a process that does nothing but download needs no undici, whose parser takes longer to compile
 * than a small image to arrive
 */
export function createHttp(timeouts: Timeouts, route: Route, connections?: ConnectionPool): Http {
  let agent: Promise<OpenAgent> | undefined
  return {
    send: async (options) => {
      if (options.method === 'GET' && connections !== undefined) {
        return read(options, { timeouts, route, connections })
      }
      const proxy = options.url.protocol === 'http:' ? chooseProxy(route.proxy, options.url) : undefined
      agent ??= openAgent(route, timeouts.connectTimeoutMs)
      try {
        const response = await send(agent, timeouts, options)
        if (proxy === undefined) return response
        if (response.status === 407) throw proxyRefusal(options.url, proxy, 407)
        const { head, text } = withoutLogin(proxy, response, response.text)
        return { ...head, text, proxy: proxy.url.origin }
      } catch (error) {
        throw proxy === undefined ? error : throughProxy(error, options.url, proxy)
      }
    },
    close: async () => (await agent)?.close(),
  }
}

async function send(
  agent: Promise<OpenAgent>,
  timeouts: Timeouts,
  options: HttpRequest,
): Promise<HttpResponse> {
  options.signal?.throwIfAborted()
  // One limit over everything: slow headers, endless headers and bodies that trickle.
  const limitMs = limitOf(options, timeouts)
  const limit = AbortSignal.timeout(limitMs)
  const flood = new AbortController()
  const signals = [limit, flood.signal]
  const signal = AbortSignal.any(options.signal === undefined ? signals : [options.signal, ...signals])
  let interimAnswers = 0
  try {
    const { dispatcher } = await agent
    const { request } = await import('undici')
    const response = await request(options.url, {
      dispatcher,
      method: options.method as Dispatcher.HttpMethod,
      headers: { 'accept-encoding': 'identity', ...options.headers },
      body: options.body ?? null,
      headersTimeout: 0,
      bodyTimeout: 0,
      signal,
      onInfo: () => {
        interimAnswers += 1
        if (interimAnswers > maximumInterimAnswers) flood.abort()
      },
    })
    const headers = new Map<string, string>()
    for (const [name, value] of Object.entries(response.headers)) {
      if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value)
    }
    const body = createCollector(options, response.statusCode)
    for await (const part of response.body as AsyncIterable<Buffer>) {
      if (!body.take(part)) break
    }
    const text = body.text(headers)
    return { status: response.statusCode, headers, text, url: plainUrl(options.url) }
  } catch (error) {
    options.signal?.throwIfAborted()
    if (error instanceof ConnectionBrokenError) throw error
    const phase = connectCodes.test(codeOf(error)) ? 'connect' : 'headers'
    const reason = flood.signal.aborted
      ? 'the answer has endless interim answers'
      : limit.aborted
        ? `no answer within ${(limitMs / 1000).toFixed(1).replace('.0', '')} s`
        : connectionReason(error)
    throw new ConnectionBrokenError(phase, connectionText(options.url, phase, reason), {
      cause: error,
      fatal: flood.signal.aborted,
    })
  }
}

/** A request that only reads, over a connection of our own. */
async function read(
  request: HttpRequest,
  { timeouts, route, connections }: { timeouts: Timeouts; route: Route; connections: ConnectionPool },
): Promise<HttpResponse> {
  const { url, headers, signal: caller } = request
  caller?.throwIfAborted()
  const limitMs = limitOf(request, timeouts)
  const limit = AbortSignal.timeout(limitMs)
  let body: Collector | undefined
  try {
    const { head, text, proxy } = await exchange({
      url,
      method: 'GET',
      headers,
      timeouts: { ...timeouts, headersTimeoutMs: limitMs, idleTimeoutMs: limitMs },
      tls: route.tls,
      proxy: route.proxy,
      connections,
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
    const reason = connectionText(
      url,
      'headers',
      `no answer within ${(limitMs / 1000).toFixed(1).replace('.0', '')} s`,
    )
    throw new ConnectionBrokenError('headers', reason, { cause: error })
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
