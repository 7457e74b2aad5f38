import { callbackify } from 'node:util'
import type { Dispatcher } from 'undici'
import { maximumTextBytes } from './answer-body.ts'
import { collectBody } from './collected-body.ts'
import { codeOf, ConnectionBrokenError, connectionReason, connectionText } from '../errors.ts'
import { nodeTlsOptions, proxyTlsOptions } from './connection.ts'
import { maximumInterimAnswers } from './exchange.ts'
import type { Carrier, Route } from './http.ts'
import { chooseProxy, proxyRefusal, throughProxy, withoutLogin } from './proxy.ts'
import type { ProxyOptions } from './proxy.ts'
import type { Timeouts } from './timeouts.ts'
import { openTunnel } from './tunnel.ts'

/** Failures before the request was on its way. A broken record (`ERR_SSL_…BAD_RECORD_MAC`) may come after it. */
const connectCodes =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|INVALID_CA|ERR_TLS_CERT|ERR_SSL_WRONG_VERSION|ERR_SSL_[\w/]*ALERT_(HANDSHAKE|PROTOCOL|CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA))/

/** Undici's connections, of an agent of their own, so that no other user of the process is met. */
export function undiciConnections({ connectTimeoutMs }: Timeouts, route: Route): Carrier {
  let agent: Promise<OpenAgent> | undefined
  return {
    carry: async (request) => {
      const { url } = request
      // A request on http is handed to its proxy, which sends it on.
      const proxy = url.protocol === 'http:' ? chooseProxy(route.proxy, url) : undefined
      agent ??= openAgent(route, connectTimeoutMs)
      try {
        const { head, text } = await send((await agent).dispatcher, request)
        if (head.status === 407 && proxy !== undefined) throw proxyRefusal(url, proxy, 407)
        return { ...withoutLogin(proxy, head, text), proxy: proxy?.url.origin }
      } catch (error) {
        throw proxy === undefined ? error : throughProxy(error, url, proxy)
      }
    },
    close: async () => (await agent)?.close(),
  }
}

async function send(
  dispatcher: Dispatcher,
  { url, method, headers, text, signal: caller, takeBody }: Parameters<Carrier['carry']>[0],
): ReturnType<Carrier['carry']> {
  const flood = new AbortController()
  let interimAnswers = 0
  try {
    const { request } = await import('undici')
    const response = await request(url, {
      dispatcher,
      method,
      headers: { 'accept-encoding': 'identity', ...headers },
      body: text ?? null,
      headersTimeout: 0,
      bodyTimeout: 0,
      signal: AbortSignal.any([caller, flood.signal]),
      onInfo: () => {
        interimAnswers += 1
        if (interimAnswers > maximumInterimAnswers) flood.abort()
      },
    })
    const head = { status: response.statusCode, headers: headersOf(response.headers), persistent: false }
    const words = collectBody(maximumTextBytes)
    const taker = takeBody(head)
    for await (const part of response.body as AsyncIterable<Buffer>) {
      if (taker !== undefined) await taker.take(part)
      else if (!words.add(part)) break
    }
    return { head, text: taker === undefined ? words.words(head.headers) : '' }
  } catch (error) {
    if (caller.aborted || error instanceof ConnectionBrokenError) throw error
    const phase = connectCodes.test(codeOf(error)) ? 'connect' : 'headers'
    const fatal = flood.signal.aborted
    const reason = fatal ? 'the answer has endless interim answers' : connectionReason(error)
    throw new ConnectionBrokenError(phase, connectionText(url, phase, reason), { cause: error, fatal })
  }
}

function headersOf(
  received: Readonly<Record<string, string | readonly string[] | undefined>>,
): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  for (const [name, value] of Object.entries(received)) {
    if (value !== undefined) headers.set(name, typeof value === 'string' ? value : value.join(', '))
  }
  return headers
}

/** Undici's side of the connections. */
interface OpenAgent {
  readonly dispatcher: Dispatcher
  close(): Promise<void>
}

/** Loads undici with the first request: who imports this package may never send one. */
async function openAgent({ tls, proxy: proxies }: Route, timeoutMs: number): Promise<OpenAgent> {
  const { Agent: AgentClass, buildConnector } = await import('undici')
  const settings = { connections: 16, pipelining: 1, keepAliveTimeout: 4000, maxHeaderSize: 64 * 1024 }
  const direct = buildConnector({ timeout: timeoutMs, ...nodeTlsOptions(tls) })
  if (proxies === undefined) {
    const dispatcher = new AgentClass({ ...settings, connect: direct })
    return { dispatcher, close: () => dispatcher.close() }
  }
  // A tunnel that nobody waits for any more would hold up the end.
  const closing = new AbortController()
  const servers = new AgentClass({
    ...settings,
    connect: (options, callback) => {
      const target = new URL(`${options.protocol}//${options.host ?? options.hostname}`)
      const proxy = chooseProxy(proxies, target)
      if (proxy === undefined) return direct(options, callback)
      const open = callbackify(() => openTunnel(target, { proxy, tls, timeoutMs, signal: closing.signal }))
      open((error: Error | null, socket) => {
        if (error === null) callback(null, socket)
        else callback(error, null)
      })
    },
  })
  const toProxies = new AgentClass({
    ...settings,
    connect: buildConnector({ timeout: timeoutMs, ...proxyTlsOptions(tls) }),
  })
  return {
    dispatcher: servers.compose(handOn(proxies, toProxies)),
    close: async () => {
      closing.abort()
      await Promise.all([servers.close(), toProxies.close()])
    },
  }
}

/** Requests on http go to their proxy, with the whole URL in their first line. */
function handOn(proxies: ProxyOptions, toProxies: Dispatcher): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) => {
    const target = new URL(`${new URL(options.origin ?? '').origin}${options.path}`)
    const proxy = target.protocol === 'http:' ? chooseProxy(proxies, target) : undefined
    if (proxy === undefined) return dispatch(options, handler)
    const login = proxy.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization }
    const headers = { ...(options.headers as Record<string, string>), host: target.host, ...login }
    return toProxies.dispatch({ ...options, origin: proxy.url.origin, path: target.href, headers }, handler)
  }
}
