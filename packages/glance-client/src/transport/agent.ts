import { callbackify } from 'node:util'
import type { Dispatcher } from 'undici'
import { chooseProxy } from './proxy.ts'
import type { ProxyOptions } from './proxy.ts'
import { nodeTlsOptions, proxyTlsOptions } from './tls-options.ts'
import type { TlsOptions } from './tls-options.ts'
import { openTunnel } from './tunnel.ts'

/** The way to the servers. */
export interface Route {
  readonly tls?: TlsOptions | undefined
  readonly proxy?: ProxyOptions | undefined
}

/** Undici's side of the connections. */
export interface OpenAgent {
  readonly dispatcher: Dispatcher
  close(): Promise<void>
}

/** Loads undici with the first request: who imports this package may never send one. */
export async function openAgent({ tls, proxy: proxies }: Route, timeoutMs: number): Promise<OpenAgent> {
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
  const dispatcher = servers.compose((dispatch) => (options, handler) => {
    const target = new URL(`${new URL(options.origin ?? '').origin}${options.path}`)
    const proxy = target.protocol === 'http:' ? chooseProxy(proxies, target) : undefined
    if (proxy === undefined) return dispatch(options, handler)
    const login = proxy.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization }
    const headers = { ...(options.headers as Record<string, string>), host: target.host, ...login }
    return toProxies.dispatch({ ...options, origin: proxy.url.origin, path: target.href, headers }, handler)
  })
  return {
    dispatcher,
    close: async () => {
      closing.abort()
      await Promise.all([servers.close(), toProxies.close()])
    },
  }
}
