import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { HostLimits } from './host-limits.ts'
import { Semaphore } from './semaphore.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('in the order of asking, and what is larger than the whole has it alone', async () => {
  const semaphore = new Semaphore(10)
  const order: string[] = []
  const ask = async (name: string, weight: number): Promise<() => void> => {
    const release = await semaphore.acquire(weight)
    order.push(name)
    return release
  }
  const small = await ask('small', 4)
  const huge = ask('huge', 100)
  const late = ask('late', 1)
  await turn()
  expect(order).toEqual(['small'])
  small()
  const release = await huge
  await turn()
  expect(order).toEqual(['small', 'huge'])
  release()
  release()
  ;(await late)()
  expect([order.at(-1), semaphore.taken]).toEqual(['late', 0])
})

test('who leaves the line lets the next one in', async () => {
  const semaphore = new Semaphore(10)
  const first = await semaphore.acquire(6)
  const abort = new AbortController()
  const large = semaphore.acquire(10, abort.signal)
  const small = semaphore.acquire(4)
  abort.abort(new Error('no more'))
  await expect(large).rejects.toThrow('no more')
  ;(await small)()
  first()
  expect(semaphore.taken).toBe(0)
})

test('never more than the whole, and everybody has a turn', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 30 }), async (weights) => {
      const semaphore = new Semaphore(9)
      let turns = 0
      await Promise.all(
        weights.map(async (weight) => {
          const release = await semaphore.acquire(weight)
          expect(semaphore.taken).toBeLessThanOrEqual(9)
          await turn()
          turns += 1
          release()
        }),
      )
      expect([turns, semaphore.taken]).toEqual([weights.length, 0])
    }),
    { numRuns: 30 },
  )
})

test("a host's limits are numbers above 0", async () => {
  expect(() => new HostLimits({ jobs: 0 })).toThrow('The limit jobs must be a whole number above 0')
  const limits = new HostLimits({ conversions: 1, bytesInFlight: 100 })
  const { signal } = new AbortController()
  const release = await limits.admit({ bytes: 60, converts: true }, signal)
  expect(limits.bytesInFlight).toBe(60)
  const abort = new AbortController()
  const second = limits.admit({ bytes: 40, converts: true }, abort.signal)
  await turn()
  expect(limits.bytesInFlight).toBe(100)
  abort.abort(new Error('gone'))
  await expect(second).rejects.toThrow('gone')
  expect(limits.bytesInFlight).toBe(60)
  release()
  expect(limits.bytesInFlight).toBe(0)
})
