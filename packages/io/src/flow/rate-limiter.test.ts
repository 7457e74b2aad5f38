import { expect, test } from 'vitest'
import { RateLimiter } from './rate-limiter.ts'

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
