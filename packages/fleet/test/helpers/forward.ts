import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** Hands connections on to a server that only listens on the loopback. */
export async function forward(host: string, target: URL): Promise<{ url: string; close(): void }> {
  const sockets = new Set<Socket>()
  const server = createServer((from) => {
    const to = connect(Number(target.port), target.hostname)
    for (const socket of [from, to]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => [from, to].forEach((one) => one.destroy()))
    }
    from.pipe(to)
    to.pipe(from)
  }).listen(0, host)
  await once(server, 'listening')
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close()
      sockets.forEach((socket) => socket.destroy())
    },
  }
}
