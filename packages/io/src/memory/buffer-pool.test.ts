import { expect, test } from 'vitest'
import { BufferPool, BufferShare } from './buffer-pool.ts'

function acquireAll(share: BufferShare): Uint8Array[] {
  const buffers: Uint8Array[] = []
  for (let buffer = share.tryAcquire(); buffer !== undefined; buffer = share.tryAcquire()) {
    buffers.push(buffer)
  }
  return buffers
}

test('a share alone has its most, several share what there is, and each has its least', () => {
  const pool = new BufferPool({ bufferBytes: 10, most: 12 })
  const first = new BufferShare(pool)
  const buffers = acquireAll(first)
  expect(buffers).toHaveLength(8)
  expect(first.free).toBe(0)
  const second = new BufferShare(pool)
  const third = new BufferShare(pool)
  expect(acquireAll(second)).toHaveLength(4)
  // Beyond the pool's measure each has what it needs to get on.
  expect(acquireAll(third)).toHaveLength(4)
  for (const buffer of buffers) first.release(buffer)
  expect(second.free).toBe(4)
  expect(first.free).toBe(4)
})

test('whoever waits for one gets the one that comes back', async () => {
  const pool = new BufferPool({ bufferBytes: 10, most: 8 })
  const share = new BufferShare(pool, { least: 3, most: 6 })
  const buffers = acquireAll(share)
  expect(buffers).toHaveLength(6)
  const waiting = share.acquire()
  const [buffer = new Uint8Array()] = buffers
  share.release(buffer)
  expect(await waiting).toBe(buffer)
})

test('what one share gave back serves the next', () => {
  const pool = new BufferPool({ bufferBytes: 10 })
  const first = new BufferShare(pool)
  const buffer = first.tryAcquire() ?? new Uint8Array()
  first.release(buffer)
  first.close()
  expect(new BufferShare(pool).tryAcquire()).toBe(buffer)
})

test('each is as long as it has to be, and shares no byte with another', () => {
  const share = new BufferShare(new BufferPool({ bufferBytes: 10, perBlock: 4 }))
  const buffers = acquireAll(share)
  for (const [index, buffer] of buffers.entries()) buffer.fill(index)
  expect(buffers.map((buffer) => [...buffer])).toEqual(buffers.map((_, index) => Array(10).fill(index)))
})

test('what a share leaves behind is not used again, and does not count any more', () => {
  const pool = new BufferPool({ bufferBytes: 10, most: 8 })
  const share = new BufferShare(pool)
  const lost = acquireAll(share)
  share.close()
  expect(pool.free).toBe(8)
  const others = acquireAll(new BufferShare(pool))
  expect(others).toHaveLength(8)
  for (const buffer of others) expect(lost).not.toContain(buffer)
})
