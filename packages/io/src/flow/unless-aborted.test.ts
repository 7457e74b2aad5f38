import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { iterateUnlessAborted, unlessAborted } from './unless-aborted.ts'

const never = new Promise<never>(() => undefined)
const reason = new Error('enough')

test('what comes first counts, and no listener stays', async () => {
  const { signal } = new AbortController()
  expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1)
  await expect(unlessAborted(Promise.reject(new Error('broken')), signal)).rejects.toThrow('broken')
  expect(await unlessAborted(Promise.resolve(2), undefined)).toBe(2)
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})

test('an abort ends the waiting with its reason, before and after it began', async () => {
  await expect(unlessAborted(never, AbortSignal.abort(reason))).rejects.toBe(reason)
  const controller = new AbortController()
  const waiting = unlessAborted(never, controller.signal)
  controller.abort(reason)
  await expect(waiting).rejects.toBe(reason)
})

test('what fails when nobody waits any more ends no process', async () => {
  const controller = new AbortController()
  const { promise, reject } = Promise.withResolvers<never>()
  const waiting = unlessAborted(promise, controller.signal)
  controller.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  reject(new Error('too late'))
  await new Promise((resolve) => setImmediate(resolve))
})

test('a source is read to its end, or until the signal', async () => {
  let left = 0
  async function* source(last: Promise<unknown>): AsyncGenerator<number> {
    try {
      yield 1
      yield 2
      await last
    } finally {
      left += 1
    }
  }
  const read = async (items: AsyncIterable<number>): Promise<number[]> => {
    const seen: number[] = []
    for await (const item of items) seen.push(item)
    return seen
  }
  expect(await read(iterateUnlessAborted(source(Promise.resolve()), undefined))).toEqual([1, 2])
  expect(left).toBe(1)
  const controller = new AbortController()
  const { signal } = controller
  const hanging = read(iterateUnlessAborted(source(never), signal))
  setTimeout(() => controller.abort(reason), 5)
  await expect(hanging).rejects.toBe(reason)
  for await (const item of iterateUnlessAborted(source(never), new AbortController().signal)) {
    expect(item).toBe(1)
    break
  }
  expect(left).toBe(2)
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})
