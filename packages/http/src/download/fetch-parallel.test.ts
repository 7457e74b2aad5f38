import { silentLogger } from '@disk-image/core'
import { expect, test } from 'vitest'
import { fetchParallel } from './fetch-parallel.ts'
import type { DownloadOrigin } from './origin.ts'

test('bytes are told as they arrive, not only when their part is whole', async () => {
  const data = Uint8Array.from({ length: 1000 }, (_, index) => index)
  let arrived = 0
  let taken = 0
  const origin: DownloadOrigin = {
    name: 'x',
    expected: undefined,
    fetch: async ({ takeBody }) => {
      const headers = new Map([['content-range', 'bytes 0-999/1000']])
      const head = { status: 206, headers, persistent: true }
      const taker = takeBody(head)
      for (let at = 0; at < 1000; at += 100) {
        await taker?.take(data.subarray(at, at + 100))
        expect(arrived).toBe(at + 100)
        expect(taken).toBe(0)
      }
      return { head, error: undefined }
    },
  }
  const fetch = {
    connections: 2,
    signal: new AbortController().signal,
    from: 0,
    size: 1000,
    arrived: (bytes: number) => void (arrived += bytes),
    take: async (bytes: Uint8Array) => void (taken += bytes.length),
  }
  await fetchParallel(origin, fetch, silentLogger)
  expect(taken).toBe(1000)
})
