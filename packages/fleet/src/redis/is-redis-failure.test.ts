import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { connectBriefly } from './connection.ts'
import { isRedisFailure } from './is-redis-failure.ts'

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
