import net from 'node:net'
import type { LookupFunction, Socket } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { allocateBuffer } from '@disk-image/io'
import type { Proxy } from './proxy.ts'

/** How servers are recognised, and how this client shows itself, on https. */
export interface TlsOptions {
  /** Certificates to trust, PEM, instead of Node's own; for a proxy on https beside them. */
  readonly ca?: string | undefined
  /** The client's certificate and key, PEM. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** Accept any certificate, also a proxy's. @default false */
  readonly insecure?: boolean | undefined
}

/** The same towards a proxy: it may have a certificate of a public authority, and gets none of the client's. */
export function proxyTlsOptions(tls: TlsOptions | undefined): { ca?: string[]; rejectUnauthorized: boolean } {
  const { getCACertificates } = process.getBuiltinModule('node:tls')
  return {
    ...(tls?.ca === undefined ? {} : { ca: [...getCACertificates('default'), tls.ca] }),
    rejectUnauthorized: tls?.insecure !== true,
  }
}

/** As Node's TLS takes them. */
export function nodeTlsOptions(tls: TlsOptions | undefined): {
  ca?: string
  cert?: string
  key?: string
  rejectUnauthorized: boolean
} {
  return {
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    rejectUnauthorized: tls?.insecure !== true,
  }
}

/** Whoever uses a connection at the moment. */
export interface ConnectionUser {
  /** Memory for the next bytes; undefined: the connection's own. Asked before every read. */
  nextBuffer(): Uint8Array | undefined
  /** Takes bytes that are overwritten afterwards. Returns false to stop reading until `socket.resume()`. */
  onRead(bytes: Uint8Array): boolean
  onError(error: Error): void
  onEnd(): void
  onClose(): void
}

/** A connection that carries one request after the other. */
export interface Connection {
  readonly socket: Socket
  /** The event with which it becomes usable; undefined where it is. */
  readonly ready: 'connect' | 'secureConnect' | undefined
  /** Hands it to a user; without one, whatever comes closes it. */
  give(user: ConnectionUser | undefined): void
}

const readBufferBytes = 256 * 1024

/**
 * Opens a connection: to a server, or where requests for it go to a proxy, to that.
 *
 * It reads into its user's memory where there is some, and otherwise into one buffer that is used again and again.
 * A client that allocates every 64 KiB it reads needs three times the processor time and twice the memory; copying
 * into shared memory costs as much as hashing.
 */
export function openConnection(
  target: URL,
  tlsOptions: TlsOptions | undefined,
  proxy?: Proxy,
  lookup?: LookupFunction,
): Connection {
  const url = proxy?.url ?? target
  const secure = url.protocol === 'https:'
  const buffer = allocateBuffer(readBufferBytes)
  let memory: Uint8Array = buffer
  let user: ConnectionUser | undefined
  const surplus = (): boolean => {
    socket.destroy()
    return false
  }
  const where = {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port) || (secure ? 443 : 80),
    ...(lookup === undefined || proxy !== undefined ? {} : { lookup }),
    onread: {
      buffer: (): Uint8Array => (memory = user?.nextBuffer() ?? buffer),
      callback: (length: number): boolean => user?.onRead(memory.subarray(0, length)) ?? surplus(),
    },
  }
  const socket: Socket = secure
    ? // Loaded only here: it takes longer than a plain connection to a neighbour.
      process.getBuiltinModule('node:tls').connect({
        ...where,
        ...(proxy === undefined ? nodeTlsOptions(tlsOptions) : proxyTlsOptions(tlsOptions)),
        ...(net.isIP(where.host) === 0 ? { servername: where.host } : {}),
      } as ConnectionOptions)
    : net.connect(where)
  socket.on('error', (error) => user?.onError(error))
  socket.once('end', () => user?.onEnd())
  socket.once('close', () => user?.onClose())
  return {
    socket,
    ready: secure ? 'secureConnect' : 'connect',
    give: (next) => {
      user = next
    },
  }
}

/** A connection that is open already and reads into its own memory. */
export function wrapConnection(socket: Socket): Connection {
  let user: ConnectionUser | undefined
  socket.on('data', (bytes: Uint8Array) => {
    if (user === undefined) socket.destroy()
    else if (!user.onRead(bytes)) socket.pause()
  })
  socket.on('error', (error) => user?.onError(error))
  socket.once('end', () => user?.onEnd())
  socket.once('close', () => user?.onClose())
  return {
    socket,
    ready: undefined,
    give: (next) => {
      user = next
    },
  }
}
