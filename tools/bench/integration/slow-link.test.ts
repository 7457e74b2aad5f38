import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openLink, type LinkOptions } from '../slow-link.ts'

const MiB = 1024 ** 2
const data = randomBytes(8 * MiB)
const server = createServer((request, response) => {
  const length = Number(new URL(request.url ?? '', 'http://x').searchParams.get('bytes') ?? 0)
  response.end(data.subarray(0, length))
})

beforeAll(() => new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve)))
afterAll(() => server.close())

async function through(
  options: Omit<LinkOptions, 'port'>,
  bytes: number,
  streams = 1,
): Promise<{ seconds: number; whole: boolean }> {
  const link = await openLink({ port: (server.address() as AddressInfo).port, ...options })
  try {
    const started = performance.now()
    const get = async (): Promise<boolean> => {
      const response = await fetch(`http://127.0.0.1:${link.port}/?bytes=${bytes}`, {
        headers: { connection: 'close' },
      })
      return Buffer.from(await response.arrayBuffer()).equals(data.subarray(0, bytes))
    }
    const results = await Promise.all(Array.from({ length: streams }, get))
    return { seconds: (performance.now() - started) / 1000, whole: results.every(Boolean) }
  } finally {
    await link.close()
  }
}

test('bytes go through as they are, and a round trip takes its time', async () => {
  expect(await through({}, 8 * MiB)).toMatchObject({ whole: true })
  const slow = await through({ roundTripMs: 80 }, 1)
  expect(slow.whole).toBe(true)
  expect(slow.seconds).toBeGreaterThan(0.078)
})

test('a window bounds what one connection gets, and two get twice that', async () => {
  // 256 KiB each 20 ms: 12.5 MiB/s at most.
  const link = { roundTripMs: 20, windowBytes: 256 * 1024 }
  const one = await through(link, 4 * MiB)
  expect(one.whole).toBe(true)
  expect(one.seconds).toBeGreaterThan(0.3)
  const two = await through(link, 4 * MiB, 2)
  expect(two.whole).toBe(true)
  expect(two.seconds).toBeLessThan(one.seconds * 2)
})

test('a rate holds for all connections together', async () => {
  const one = await through({ bytesPerSecond: 20 * MiB }, 8 * MiB)
  expect(one.whole).toBe(true)
  expect(one.seconds).toBeGreaterThan(0.37)
  const two = await through({ bytesPerSecond: 20 * MiB }, 8 * MiB, 2)
  expect(two.seconds).toBeGreaterThan(0.75)
})

test('a connection is cut where that is wanted', async () => {
  await expect(through({ cutAfterBytes: MiB }, 8 * MiB)).rejects.toThrow('terminated')
  expect(await through({ cutAfterBytes: 9 * MiB }, 8 * MiB)).toMatchObject({ whole: true })
})
