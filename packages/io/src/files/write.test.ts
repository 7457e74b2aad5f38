import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { isZero, RateLimiter, splitAtZeros } from './write.ts'

test('zeros', () => {
  expect(isZero(new Uint8Array(0))).toBe(true)
  expect(isZero(new Uint8Array(200_000))).toBe(true)
  for (const at of [0, 1, 65_535, 65_536, 199_999]) {
    const bytes = new Uint8Array(200_000)
    bytes[at] = 1
    expect(isZero(bytes)).toBe(false)
  }
})

test('shared memory is looked at without a copy', () => {
  const bytes = new Uint8Array(new SharedArrayBuffer(131_072), 4096, 65_536)
  expect(isZero(bytes)).toBe(true)
  bytes[65_535] = 1
  expect(isZero(bytes)).toBe(false)
})

test('long zeros are cut out, short ones stay data', () => {
  const chunk = new Uint8Array(256 * 1024).fill(1)
  chunk.fill(0, 65_536, 131_072)
  chunk.fill(0, 200_000, 210_000)
  expect(splitAtZeros(chunk, 0)).toEqual([
    { start: 0, end: 65_536, zero: false },
    { start: 65_536, end: 131_072, zero: true },
    { start: 131_072, end: 262_144, zero: false },
  ])
})

test('extents keep to the pages of the volume, not of the chunk', () => {
  const chunk = new Uint8Array(100_000)
  chunk.fill(1, 50_000, 50_001)
  const extents = splitAtZeros(chunk, 1000, 4096, 4096)
  expect(extents.map(({ start, end }) => [(1000 + start) % 4096, (1000 + end) % 4096])).toEqual([
    [1000, 0],
    [0, 0],
    [0, 101_000 % 4096],
  ])
})

test('whatever the chunk: the extents are all of it, alternate, and tell the truth', () => {
  const piece = fc.record({ zero: fc.boolean(), length: fc.integer({ min: 1, max: 9000 }) })
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.nat(5000), (pieces, offset) => {
      const chunk = Buffer.concat(pieces.map(({ zero, length }) => Buffer.alloc(length, zero ? 0 : 7)))
      const extents = splitAtZeros(chunk, offset, 512, 4096)
      let at = 0
      for (const [index, extent] of extents.entries()) {
        expect(extent.start).toBe(at)
        expect(extent.end).toBeGreaterThan(extent.start)
        expect(extent.zero).not.toBe(extents[index - 1]?.zero)
        expect(!extent.zero || isZero(chunk.subarray(extent.start, extent.end))).toBe(true)
        at = extent.end
      }
      expect(at).toBe(chunk.length)
    }),
    { numRuns: 200 },
  )
})

test('who comes early waits, all that came before in the line', async () => {
  const limiter = new RateLimiter(10_000)
  const start = performance.now()
  const passed: number[] = []
  await Promise.all(
    [500, 500, 500].map(async (bytes, index) => {
      await limiter.take(bytes)
      passed.push(index)
    }),
  )
  expect(passed).toEqual([0, 1, 2])
  // The last of them may begin when those before it have passed.
  expect(performance.now() - start).toBeGreaterThan(95)
})

test('an abort ends the waiting with its reason', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const limiter = new RateLimiter(1, controller.signal)
  await limiter.take(1000)
  const waiting = limiter.take(1)
  controller.abort(reason)
  await expect(waiting).rejects.toBe(reason)
})
