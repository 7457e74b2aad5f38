import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { expect, test } from 'vitest'
import { connectBriefly, connectionOptions, isRedisFailure } from './connection.ts'

test('the address of Redis, with and without everything', () => {
  expect(connectionOptions('redis://r.example')).toEqual({ host: 'r.example', port: 6379 })
  expect(connectionOptions('rediss://user:p%40ss@[::1]:7000/3')).toEqual({
    host: '::1',
    port: 7000,
    username: 'user',
    password: 'p@ss',
    db: 3,
    tls: {},
  })
  expect(connectionOptions({ host: 'h' })).toEqual({ host: 'h' })
})

test.each(['http://r.example', 'r.example:6379', 'redis://:secret@/x', 'redis://:secret@host/x'])(
  '%s',
  (text) => {
    expect(() => connectionOptions(text)).toThrow(/Redis/)
    expect(() => connectionOptions(text)).not.toThrow(/secret/)
  },
)

test('a Redis that is silent, and one that is not there, are told from other errors', async () => {
  const sockets: Socket[] = []
  const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const silent = connectBriefly({ port }, 200)
  const timedOut: unknown = await silent.get('a').catch((error: unknown) => error)
  silent.disconnect()
  server.close()
  sockets.forEach((socket) => socket.destroy())
  const gone = connectBriefly({ port }, 200)
  const refused: unknown = await gone.get('a').catch((error: unknown) => error)
  gone.disconnect()
  expect([timedOut, refused].map(isRedisFailure)).toEqual([true, true])
  expect([timedOut, refused].every((error) => error instanceof Error)).toBe(true)
  expect(isRedisFailure(new Error('ERR wrong number of arguments'))).toBe(false)
  expect(isRedisFailure(new DOMException('stopped', 'AbortError'))).toBe(false)
  expect(isRedisFailure('text')).toBe(false)
})
