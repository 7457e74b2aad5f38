import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Lease, Limiter } from './limiter.ts'

const never = new AbortController().signal
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a need beyond the whole limiter waits until it is alone, and is not overtaken', async () => {
  const limiter = new Limiter(10)
  const order: string[] = []
  const take = async (name: string, bytes: number): Promise<Lease> => {
    const lease = await limiter.acquire(bytes, never)
    order.push(name)
    return lease
  }
  const small = await take('small', 4)
  const huge = take('huge', 100)
  const late = take('late', 1)
  await turn()
  expect(order).toEqual(['small'])
  small.release()
  const running = await huge
  await turn()
  expect(order).toEqual(['small', 'huge'])
  running.release()
  running.release()
  ;(await late).release()
  expect({ order, used: limiter.taken }).toEqual({ order: ['small', 'huge', 'late'], used: 0 })
})

test('what is kept counts, and never blocks the last who could free it', async () => {
  const limiter = new Limiter(10)
  const first = await limiter.acquire(9, never)
  const kept = first.keep(8)
  let served = false
  const second = limiter.acquire(5, never).then((lease) => {
    served = true
    return lease
  })
  await turn()
  expect(served).toBe(false)
  first.release()
  const lease = await second
  expect(limiter.taken).toBe(13)
  kept.release()
  kept.release()
  lease.release()
  expect(limiter.taken).toBe(0)
})

test('who leaves the line lets the next one in', async () => {
  const limiter = new Limiter(10)
  const first = await limiter.acquire(6, never)
  const abort = new AbortController()
  const large = limiter.acquire(10, abort.signal)
  const small = limiter.acquire(4, never)
  abort.abort(new Error('no more'))
  await expect(large).rejects.toThrow('no more')
  ;(await small).release()
  first.release()
  expect(limiter.taken).toBe(0)
  await expect(limiter.acquire(1, abort.signal)).rejects.toThrow('no more')
})

test('whatever is taken in whatever order: within the bound, served in turn, all served', async () => {
  const needs = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), needs, async (schedule, bytes) => {
      const limiter = new Limiter(20)
      const served: number[] = []
      let active = 0
      await schedule.waitFor(
        Promise.all(
          bytes.map(async (need, index) => {
            const lease = await limiter.acquire(need, never)
            served.push(index)
            active += 1
            expect(limiter.taken <= 20 || active === 1).toBe(true)
            await schedule.schedule(Promise.resolve())
            active -= 1
            lease.release()
          }),
        ),
      )
      expect(served).toEqual(bytes.map((_, index) => index))
      expect(limiter.taken).toBe(0)
    }),
    { numRuns: 100 },
  )
})
