import { expect, test } from 'vitest'
import { BufferPool, BufferShare } from './buffer-pool.ts'

/** How many of so many a share hands out at once. */
async function takeAtOnce(share: BufferShare, count: number): Promise<Uint8Array[]> {
  const buffers: Uint8Array[] = []
  for (let index = 0; index < count; index += 1) {
    void share.acquire().then((buffer) => buffers.push(buffer))
  }
  await new Promise((resolve) => setImmediate(resolve))
  return buffers
}

test('a share alone has its most, further ones share the rest, and each has its least', async () => {
  const pool = new BufferPool(8, 10)
  const [first, second, third] = [1, 2, 3].map(() => new BufferShare(pool, 3, 6)) as [
    BufferShare,
    BufferShare,
    BufferShare,
  ]
  const taken = await takeAtOnce(first, 7)
  expect(taken).toHaveLength(6)
  expect(await takeAtOnce(second, 6)).toHaveLength(3)
  expect(await takeAtOnce(third, 6)).toHaveLength(3)
  // What waited for one gets the one that comes back.
  const [buffer] = taken
  if (buffer !== undefined) first.release(buffer)
  await new Promise((resolve) => setImmediate(resolve))
  expect(taken).toHaveLength(7)
  expect(taken[6]).toBe(buffer)
})

test('what one share gave back serves the next', async () => {
  const pool = new BufferPool(8, 10)
  const first = new BufferShare(pool, 1, 6)
  const buffer = await first.acquire()
  first.release(buffer)
  first.close()
  expect(await new BufferShare(pool, 1, 6).acquire()).toBe(buffer)
})

test('each is as long as it has to be, and shares no byte with another', async () => {
  const pool = new BufferPool(6, 10)
  const share = new BufferShare(pool, 6, 6)
  const buffers = await takeAtOnce(share, 6)
  for (const [index, buffer] of buffers.entries()) buffer.fill(index + 1)
  expect(buffers.map((buffer) => [...buffer])).toEqual([1, 2, 3, 4, 5, 6].map((byte) => Array(10).fill(byte)))
})

test('what is lost with its share does not count any more', async () => {
  const pool = new BufferPool(2, 10)
  const share = new BufferShare(pool, 0, 2)
  await takeAtOnce(share, 2)
  expect(pool.hasRoom).toBe(false)
  share.close()
  expect(pool.hasRoom).toBe(true)
})
