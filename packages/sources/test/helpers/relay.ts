import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** How a connection ends before its time. */
export interface Cut {
  /** Bytes of the body that pass before. */
  readonly afterBytes: number
  readonly how: 'end' | 'reset'
}

/** A relay before a real server, which cuts connections as told and counts what passes. */
export interface Relay extends AsyncDisposable {
  readonly url: string
  /** Heads of the requests, in their order. */
  readonly requests: string[]
  /** Bytes of bodies that were handed on. */
  bodyBytes: number
  /** Asked for each request. @default none is cut */
  cut: (request: number) => Cut | undefined
}

/**
 * Starts a relay. Every request has a connection of its own.
 *
 * @param delayMs how much later everything arrives, in each direction
 */
export async function startRelay(target: string, delayMs = 0): Promise<Relay> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): Socket => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    return socket
  }
  const later = (act: () => void): void => {
    if (delayMs === 0) act()
    else setTimeout(act, delayMs)
  }
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    keep(client)
    const upstream = keep(net.connect({ port: Number(port), host: hostname, allowHalfOpen: true }))
    const cut = relay.cut(relay.requests.length)
    let asked = ''
    client.on('data', (bytes: Buffer) => {
      asked += bytes.toString('latin1')
      if (!asked.includes('\r\n\r\n')) return
      const head = asked.replace(/^connection:.*$/im, 'Connection: close')
      relay.requests.push(head)
      asked = ''
      later(() => upstream.write(head, 'latin1'))
    })
    forward(upstream, client, cut)
    client.on('close', () => upstream.destroy())
  })
  const forward = (upstream: Socket, client: Socket, cut: Cut | undefined): void => {
    let head = Buffer.alloc(0)
    let inBody = false
    let left = cut?.afterBytes ?? Number.POSITIVE_INFINITY
    const end = (): void => {
      upstream.destroy()
      later(() => (cut?.how === 'reset' ? client.resetAndDestroy() : client.end()))
    }
    const send = (bytes: Buffer): void =>
      later(() => {
        if (client.write(bytes)) return
        upstream.pause()
        client.once('drain', () => upstream.resume())
      })
    const body = (bytes: Buffer): void => {
      if (upstream.destroyed) return
      const part = bytes.subarray(0, Math.min(left, bytes.length))
      left -= part.length
      relay.bodyBytes += part.length
      if (part.length > 0) send(part)
      if (left === 0) end()
    }
    upstream.on('data', (bytes: Buffer) => {
      if (inBody) {
        body(bytes)
        return
      }
      head = Buffer.concat([head, bytes])
      const at = head.indexOf('\r\n\r\n')
      if (at === -1) return
      inBody = true
      send(head.subarray(0, at + 4))
      body(head.subarray(at + 4))
    })
    upstream.on('end', () => later(() => client.end()))
    upstream.on('error', () => client.destroy())
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const relay: Relay = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    bodyBytes: 0,
    cut: () => undefined,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
  return relay
}
