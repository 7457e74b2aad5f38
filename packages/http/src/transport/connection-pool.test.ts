import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { BodyTaker } from './answer-body.ts'
import { createConnectionPool } from './connection-pool.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { exchange } from './exchange.ts'
import { defaultTimeouts } from './timeouts.ts'

/** Answers a request: how many its connection has carried, how many connections there were, and its head. */
type Answer = (
  socket: Socket,
  request: { readonly onConnection: number; readonly connection: number; readonly head: string },
) => void

const open: (() => void)[] = []
afterEach(() => {
  for (const close of open.splice(0)) close()
})

/** A server that speaks as the test wants it to. */
async function serve(answer: Answer): Promise<{ url: URL; connections: () => number }> {
  let connections = 0
  const sockets = new Set<Socket>()
  const server = net.createServer((socket) => {
    const connection = (connections += 1)
    let onConnection = 0
    let text = ''
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (data) => {
      text += data.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end)
        text = text.slice(end + 4)
        onConnection += 1
        answer(socket, { onConnection, connection, head })
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = server.address() as AddressInfo
  return { url: new URL(`http://127.0.0.1:${port}/v2/x`), connections: () => connections }
}

function pool(): ConnectionPool {
  const connections = createConnectionPool()
  open.push(() => connections.close())
  return connections
}

async function get(url: URL, connections: ConnectionPool, taker?: BodyTaker): Promise<string> {
  const { text } = await exchange({
    url,
    method: 'GET',
    headers: {},
    timeouts: defaultTimeouts,
    connections,
    takeBody: () => taker,
  })
  return text
}

const whole = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 200))

test.each([
  ['a length', whole],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
])('requests share a connection after a body with %s', async (_, answer) => {
  const server = await serve((socket) => socket.write(answer))
  const connections = pool()
  for (let round = 0; round < 3; round += 1) expect(await get(server.url, connections)).toBe('ok')
  expect(server.connections()).toBe(1)
})

test.each([
  ['that it closes', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Close\r\n\r\nok'],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['more than its body', `${whole}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged`],
])('no connection is used again whose server says %s', async (_, answer) => {
  const server = await serve((socket) => socket.write(answer))
  const connections = pool()
  expect(await get(server.url, connections)).toBe('ok')
  expect(await get(server.url, connections)).toBe('ok')
  expect(server.connections()).toBe(2)
})

test('what comes unasked on a kept connection answers nothing', async () => {
  const ended = Promise.withResolvers<void>()
  const forge = Promise.withResolvers<void>()
  const server = await serve((socket, { connection }) => {
    socket.write(whole)
    if (connection > 1) return
    socket.once('close', () => ended.resolve())
    void forge.promise.then(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged'))
  })
  const connections = pool()
  expect(await get(server.url, connections)).toBe('ok')
  forge.resolve()
  // The client gives the connection up as soon as it has read that.
  await ended.promise
  expect(await get(server.url, connections)).toBe('ok')
  expect(server.connections()).toBe(2)
})

test('what changes something gets a connection of its own, which is kept afterwards', async () => {
  const heads: string[] = []
  const server = await serve((socket, { head }) => {
    heads.push(head)
    socket.write(whole)
  })
  const connections = pool()
  const send = (method: 'POST' | 'DELETE', text?: string): Promise<unknown> =>
    exchange({
      url: server.url,
      method,
      text,
      headers: {},
      timeouts: defaultTimeouts,
      connections,
      takeBody: () => undefined,
    })
  expect(await get(server.url, connections)).toBe('ok')
  await send('POST', '')
  await send('DELETE')
  expect(server.connections()).toBe(3)
  for (let round = 0; round < 3; round += 1) expect(await get(server.url, connections)).toBe('ok')
  expect(server.connections()).toBe(3)
  expect(heads[1]).toMatch(/^POST [^]*\r\nConnection: keep-alive\r\nContent-Length: 0$/)
  expect(heads[2]).toMatch(/^DELETE [^]*\r\nConnection: keep-alive$/)
})

test('a connection whose request was not taken to its end is not used again', async () => {
  const server = await serve((socket) => {
    socket.pause()
    socket.write(whole)
  })
  const connections = pool()
  const { text } = await exchange({
    url: server.url,
    method: 'POST',
    text: 'x'.repeat(64 << 20),
    headers: {},
    timeouts: defaultTimeouts,
    connections,
    takeBody: () => undefined,
  })
  expect(text).toBe('ok')
  expect(connections.take(server.url)).toBeUndefined()
})

test('a kept connection that the server has closed is replaced', async () => {
  const server = await serve((socket) => socket.end(whole))
  const connections = pool()
  expect(await get(server.url, connections)).toBe('ok')
  await soon()
  expect(await get(server.url, connections)).toBe('ok')
})

test('a kept connection that ends instead of answering is replaced, once', async () => {
  const server = await serve((socket, { onConnection }) => {
    if (onConnection === 1) socket.write(whole)
    else socket.destroy()
  })
  const connections = pool()
  for (let round = 0; round < 4; round += 1) expect(await get(server.url, connections)).toBe('ok')
  expect(server.connections()).toBe(4)
})

test('a kept connection that breaks in its answer is an error', async () => {
  const server = await serve((socket, { onConnection }) => {
    if (onConnection === 1) socket.write(whole)
    else socket.end('HTTP/1.1 200 OK\r\nContent-Len')
  })
  const connections = pool()
  expect(await get(server.url, connections)).toBe('ok')
  await expect(get(server.url, connections)).rejects.toThrow(/ended the connection/)
})

test('a connection is used again although its reader was waited for', async () => {
  const bytes = Buffer.alloc(3_000_000, 7)
  const server = await serve((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`)
    socket.write(bytes)
  })
  const connections = pool()
  for (let round = 0; round < 3; round += 1) {
    let length = 0
    const taker: BodyTaker = {
      take: async (part) => {
        length += part.length
        await new Promise((resolve) => setImmediate(resolve))
      },
    }
    await get(server.url, connections, taker)
    expect(length).toBe(bytes.length)
  }
  expect(server.connections()).toBe(1)
})

test('a body is read into the memory of its taker', async () => {
  const bytes = Buffer.from(Array.from({ length: 2_000_000 }, (_, index) => index % 251))
  const server = await serve((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`)
    // Its first part comes with the head, or not.
    setTimeout(() => socket.write(bytes), 10)
  })
  const memory = new Uint8Array(new SharedArrayBuffer(bytes.length))
  let filled = 0
  let inPlace = 0
  const taker: BodyTaker = {
    nextBuffer: () => (filled < memory.length ? memory.subarray(filled) : undefined),
    take: (part) => {
      if (part.buffer === memory.buffer) inPlace += part.length
      else memory.set(part, filled)
      filled += part.length
      return undefined
    },
  }
  await get(server.url, pool(), taker)
  expect(Buffer.from(memory).equals(bytes)).toBe(true)
  expect(inPlace).toBeGreaterThan(bytes.length / 2)
})

test('what is closed keeps nothing, and closes what it kept', async () => {
  const server = await serve((socket) => socket.write(whole))
  const connections = pool()
  await get(server.url, connections)
  connections.close()
  expect(connections.take(server.url)).toBeUndefined()
  await get(server.url, connections)
  expect(connections.take(server.url)).toBeUndefined()
})
