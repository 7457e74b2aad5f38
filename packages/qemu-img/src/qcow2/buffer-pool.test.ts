import { bufferOffset } from '@disk-image/core'
import { expect, test } from 'vitest'
import { BufferPool, BufferShare } from './buffer-pool.ts'

/** How many of so many a share hands out at once. */
async function takeAtOnce(share: BufferShare, count: number): Promise<ArrayBuffer[]> {
  const buffers: ArrayBuffer[] = []
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

test('what is lost, in another thread or with its share, does not count any more', async () => {
  const pool = new BufferPool(2, 10)
  const share = new BufferShare(pool, 0, 2)
  const lost = await share.acquire()
  structuredClone(lost, { transfer: [lost] })
  share.release(lost)
  expect((await share.acquire()).byteLength).toBe(bufferOffset + 10)
  await share.acquire()
  expect(pool.hasRoom).toBe(false)
  share.close()
  expect(pool.hasRoom).toBe(true)
})
