import net from 'node:net'
import type { Socket } from 'node:net'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { ConnectionBrokenError, connectionReason, connectionText } from '../errors.ts'
import { nodeTlsOptions, proxyTlsOptions } from './connection.ts'
import type { TlsOptions } from './connection.ts'
import { HeadReader } from './http1.ts'
import { proxyRefusal } from './proxy.ts'
import type { Proxy } from './proxy.ts'

/** How a tunnel is opened. */
interface TunnelOptions {
  readonly proxy: Proxy
  /** For the server; the proxy gets neither certificate nor key. */
  readonly tls: TlsOptions | undefined
  /** For the proxy, its answer and the handshake together. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** A proxy has nothing to say before it is connected. */
const maximumInterimAnswers = 10

/**
 * A connection to a server on https through a proxy (CONNECT). The server's certificate is verified as without.
 *
 * @throws {ConnectionBrokenError} naming the proxy where the fault is there; after an abort the signal's reason
 */
export async function openTunnel(target: URL, options: TunnelOptions): Promise<TLSSocket> {
  const { proxy, tls, signal } = options
  signal?.throwIfAborted()
  const limit = AbortSignal.timeout(options.timeoutMs)
  const ends = signal === undefined ? limit : AbortSignal.any([signal, limit])
  const opened: Socket[] = []
  let stage = `the proxy ${proxy.url.origin}: `
  try {
    const toProxy = openToProxy(proxy, tls)
    opened.push(toProxy)
    await once(toProxy, proxy.url.protocol === 'https:' ? 'secureConnect' : 'connect', ends)
    await askToConnect(toProxy, target, proxy, ends)
    stage = ''
    const host = bareHost(target)
    const secure = process.getBuiltinModule('node:tls').connect({
      socket: toProxy,
      ...nodeTlsOptions(tls),
      ...(net.isIP(host) === 0 ? { servername: host } : { host }),
    } as ConnectionOptions)
    opened.push(secure)
    await once(secure, 'secureConnect', ends)
    // Neither outlives the other.
    toProxy.once('close', () => secure.destroy())
    secure.once('close', () => toProxy.destroy())
    return secure
  } catch (error) {
    for (const socket of opened) socket.on('error', () => undefined).destroy()
    signal?.throwIfAborted()
    if (error instanceof ConnectionBrokenError) throw error
    const reason = limit.aborted ? `no answer within ${options.timeoutMs / 1000} s` : connectionReason(error)
    throw new ConnectionBrokenError('connect', connectionText(target, 'connect', `${stage}${reason}`), {
      cause: error,
    })
  }
}

function openToProxy({ url }: Proxy, tls: TlsOptions | undefined): Socket {
  const secure = url.protocol === 'https:'
  const host = bareHost(url)
  const where = { host, port: url.port === '' ? (secure ? 443 : 80) : Number(url.port) }
  const socket = secure
    ? process.getBuiltinModule('node:tls').connect({
        ...where,
        ...proxyTlsOptions(tls),
        ...(net.isIP(host) === 0 ? { servername: host } : {}),
      } as ConnectionOptions)
    : net.connect(where)
  return socket.on('error', () => undefined)
}

async function askToConnect(socket: Socket, target: URL, proxy: Proxy, ends: AbortSignal): Promise<void> {
  const host = `${target.hostname}:${target.port === '' ? 443 : target.port}`
  const login = proxy.authorization === undefined ? '' : `Proxy-Authorization: ${proxy.authorization}\r\n`
  socket.write(`CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n${login}\r\n`)
  let status: number
  try {
    status = await readStatus(socket, ends)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    const reason = `the proxy ${proxy.url.origin} does not answer as an HTTP proxy: ${error.message}`
    throw new ConnectionBrokenError('connect', connectionText(target, 'connect', reason), { fatal: true })
  }
  if (status >= 300) throw proxyRefusal(target, proxy, status)
}

/** The status of the answer to CONNECT. @throws {SyntaxError} where it is none */
async function readStatus(socket: Socket, ends: AbortSignal): Promise<number> {
  const heads = new HeadReader(maximumInterimAnswers)
  for (;;) {
    const read = heads.add(await nextBytes(socket, ends))
    if (read === undefined) continue
    const { status } = read.head
    // The body of a refusal is not waited for; behind a yes there is nothing before we speak.
    if (status < 300 && read.rest.length > 0) throw new SyntaxError('it sends data before it is spoken to')
    return status
  }
}

async function nextBytes(socket: Socket, ends: AbortSignal): Promise<Buffer> {
  for (;;) {
    const bytes = socket.read() as Buffer | null
    if (bytes !== null) return bytes
    await once(socket, 'readable', ends)
  }
}

/** Waits for an event; an error, an end or the signal comes instead. */
function once(socket: Socket, event: string, ends: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (act: () => void) => (): void => {
      for (const [name, listener] of listeners) socket.off(name, listener)
      ends.removeEventListener('abort', onAbort)
      act()
    }
    const closed = (): void => reject(new Error('the connection was closed'))
    const onError = (error: Error): void => finish(() => reject(error))()
    const onAbort = finish(() => reject(new Error('given up')))
    const listeners: (readonly [string, (error: Error) => void])[] = [
      [event, finish(resolve)],
      ['error', onError],
      ['end', finish(closed)],
      ['close', finish(closed)],
    ]
    for (const [name, listener] of listeners) socket.on(name, listener)
    if (ends.aborted) onAbort()
    else if (socket.destroyed) finish(closed)()
    else ends.addEventListener('abort', onAbort, { once: true })
  })
}

function bareHost(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1')
}
