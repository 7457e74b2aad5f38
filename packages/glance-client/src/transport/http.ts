import type { Agent, Dispatcher } from 'undici'
import { ConnectionBrokenError } from '../errors/connection-broken-error.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { codeOf, connectionReason, connectionText } from './connection-reason.ts'
import { exchange } from './exchange.ts'
import type { BodyTaker } from './exchange.ts'
import type { Timeouts } from './timeouts.ts'
import { nodeTlsOptions } from './tls-options.ts'
import type { TlsOptions } from './tls-options.ts'

/** A small request. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
}

/** An answer, read whole. */
export interface HttpResponse {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
}

/** Requests whose bodies are small: everything but images' data. */
export interface Http {
  /** @throws {ConnectionBrokenError}; after an abort the signal's reason */
  send(request: HttpRequest): Promise<HttpResponse>
  close(): Promise<void>
}

/** No answer of these services is as long. */
const maximumBodyBytes = 32 * 1024 * 1024

/** Failures before the request was on its way. A broken record (`ERR_SSL_…BAD_RECORD_MAC`) may come after it. */
const connectCodes =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|INVALID_CA|ERR_TLS_CERT|ERR_SSL_WRONG_VERSION|ERR_SSL_[\w/]*ALERT_(HANDSHAKE|PROTOCOL|CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA))/

/**
 * An undici agent of its own, so that no other user of the process is met.
 *
 * @param connections takes requests that only read: a download's record then comes over the connection that brings
 * its data, and a process that does nothing but download needs no undici, whose parser takes longer to compile
 * than a small image to arrive
 */
export function createHttp(
  timeouts: Timeouts,
  tls: TlsOptions | undefined,
  connections?: ConnectionPool,
): Http {
  const connect = { timeout: timeouts.connectTimeoutMs, ...nodeTlsOptions(tls) }
  let agent: Promise<Agent> | undefined
  return {
    send: (options) => {
      if (options.method === 'GET' && connections !== undefined) {
        return read(options, { timeouts, tls, connections })
      }
      agent ??= openAgent(connect)
      return send(agent, timeouts, options)
    },
    close: async () => (await agent)?.close(),
  }
}

/** Loads undici with the first request: who imports this package may never send one. */
async function openAgent(connect: NonNullable<Agent.Options['connect']>): Promise<Agent> {
  const { Agent: AgentClass } = await import('undici')
  return new AgentClass({
    connections: 16,
    pipelining: 1,
    keepAliveTimeout: 4000,
    connect,
    maxHeaderSize: 64 * 1024,
  })
}

async function send(agent: Promise<Agent>, timeouts: Timeouts, options: HttpRequest): Promise<HttpResponse> {
  options.signal?.throwIfAborted()
  // One limit over everything: slow headers, endless headers and bodies that trickle.
  const limitMs = options.timeoutMs ?? timeouts.headersTimeoutMs
  const limit = AbortSignal.timeout(limitMs)
  const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit])
  try {
    const dispatcher = await agent
    const { request } = await import('undici')
    const response = await request(options.url, {
      dispatcher,
      method: options.method as Dispatcher.HttpMethod,
      headers: options.headers,
      body: options.body ?? null,
      headersTimeout: 0,
      bodyTimeout: 0,
      signal,
    })
    const text = await readText(options.url, response.body)
    const headers = new Map<string, string>()
    for (const [name, value] of Object.entries(response.headers)) {
      if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value)
    }
    return { status: response.statusCode, headers, text }
  } catch (error) {
    options.signal?.throwIfAborted()
    if (error instanceof ConnectionBrokenError) throw error
    const phase = connectCodes.test(codeOf(error)) ? 'connect' : 'headers'
    const reason = limit.aborted ? `no answer within ${limitMs / 1000} s` : connectionReason(error)
    throw new ConnectionBrokenError(phase, connectionText(options.url, phase, reason), { cause: error })
  }
}

/** A request that only reads, over a connection of our own. */
async function read(
  { url, headers, signal: caller, timeoutMs }: HttpRequest,
  {
    timeouts,
    tls,
    connections,
  }: { timeouts: Timeouts; tls: TlsOptions | undefined; connections: ConnectionPool },
): Promise<HttpResponse> {
  caller?.throwIfAborted()
  const limitMs = timeoutMs ?? timeouts.headersTimeoutMs
  const limit = AbortSignal.timeout(limitMs)
  const body = collectText(url)
  try {
    const { head } = await exchange({
      url,
      method: 'GET',
      headers,
      timeouts: { ...timeouts, headersTimeoutMs: limitMs, idleTimeoutMs: limitMs },
      tls,
      connections,
      signal: caller === undefined ? limit : AbortSignal.any([caller, limit]),
      takeBody: () => body,
    })
    return { status: head.status, headers: head.headers, text: body.text() }
  } catch (error) {
    caller?.throwIfAborted()
    if (!limit.aborted) throw error
    const reason = connectionText(url, 'headers', `no answer within ${limitMs / 1000} s`)
    throw new ConnectionBrokenError('headers', reason, { cause: error })
  }
}

function collectText(url: URL): BodyTaker & { text(): string } {
  const parts: Uint8Array[] = []
  let length = 0
  return {
    take: (bytes) => {
      length += bytes.length
      if (length > maximumBodyBytes) throw endless(url)
      parts.push(Uint8Array.from(bytes))
      return undefined
    },
    text: () => Buffer.concat(parts, length).toString('utf8'),
  }
}

function endless(url: URL): ConnectionBrokenError {
  return new ConnectionBrokenError('body', connectionText(url, 'body', 'the answer is endless'), {
    fatal: true,
  })
}

async function readText(url: URL, body: Dispatcher.ResponseData['body']): Promise<string> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of body as AsyncIterable<Buffer>) {
    length += part.length
    if (length > maximumBodyBytes) throw endless(url)
    parts.push(part)
  }
  return Buffer.concat(parts, length).toString('utf8')
}
