import { expect, test } from 'vitest'
import { createSinkWrites } from './sink-writes.ts'

/** A sink whose writes are ended by the test. */
function manualSink(concurrency?: number): {
  readonly concurrency: number | undefined
  readonly begun: number[]
  write(chunk: Uint8Array): Promise<void>
  end(length: number, error?: Error): Promise<void>
} {
  const begun: number[] = []
  const ends = new Map<number, PromiseWithResolvers<void>>()
  return {
    concurrency,
    begun,
    write: (chunk) => {
      begun.push(chunk.length)
      const end = Promise.withResolvers<void>()
      ends.set(chunk.length, end)
      return end.promise
    },
    end: async (length, error) => {
      const end = ends.get(length)
      if (error === undefined) end?.resolve()
      else end?.reject(error)
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

test.each([
  [undefined, [1], [1, 2]],
  [1, [1], [1, 2]],
  [3, [1, 2, 3], [1, 2, 3, 4]],
])(
  'a sink with a concurrency of %s gets its writes in order, so many at once',
  async (width, first, second) => {
    const sink = manualSink(width)
    const writes = createSinkWrites(sink)
    const all = [1, 2, 3, 4, 5].map((length) => writes.add(new Uint8Array(length)))
    await sink.end(0)
    expect(sink.begun).toEqual(first)
    await sink.end(1)
    expect(sink.begun).toEqual(second)
    for (const length of [2, 3, 4, 5]) await sink.end(length)
    expect(sink.begun).toEqual([1, 2, 3, 4, 5])
    await Promise.all(all)
  },
)

test('a later write that ends first gives its place to nobody', async () => {
  const sink = manualSink(2)
  const writes = createSinkWrites(sink)
  const all = [1, 2, 3].map((length) => writes.add(new Uint8Array(length)))
  await sink.end(0)
  await sink.end(2)
  expect(sink.begun).toEqual([1, 2])
  await sink.end(1)
  expect(sink.begun).toEqual([1, 2, 3])
  await sink.end(3)
  await Promise.all(all)
})

test('after a failure none begins, and each of them fails with it', async () => {
  const sink = manualSink(2)
  const writes = createSinkWrites(sink)
  const all = [1, 2, 3, 4].map((length) => writes.add(new Uint8Array(length)))
  const outcomes = Promise.allSettled(all)
  await sink.end(0)
  const broken = new Error('full')
  await sink.end(1, broken)
  expect(sink.begun).toEqual([1, 2])
  let settled = false
  const end = writes.settle().then(() => (settled = true))
  await sink.end(0)
  expect(settled).toBe(false)
  await sink.end(2)
  await end
  expect(
    (await outcomes).map((outcome) => outcome.status === 'rejected' && (outcome.reason as Error)),
  ).toEqual([broken, false, broken, broken])
})

test('what may not begin is left out', async () => {
  const sink = manualSink(1)
  let allowed = true
  const writes = createSinkWrites(sink, () => allowed)
  const first = writes.add(new Uint8Array(1))
  const second = writes.add(new Uint8Array(2))
  await sink.end(0)
  allowed = false
  await sink.end(1)
  await Promise.all([first, second])
  expect(sink.begun).toEqual([1])
})
