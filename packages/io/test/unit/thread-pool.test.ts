import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { ThreadPool } from '../../src/threads/thread-pool.ts'
import { createCounter } from '../helpers/counter.ts'

type Counted = ReturnType<ReturnType<typeof createCounter>>

const program = new URL('../helpers/count-worker.ts', import.meta.url)

function createPool(most: number, start = () => new Worker(program)): ThreadPool<number, Counted> {
  return new ThreadPool({ most, start, createHandler: createCounter })
}

const threadsOf = (answers: readonly Counted[]): Set<number> => new Set(answers.map(({ thread }) => thread))

test.each([1, 2, 3])(
  'requests of a share run in at most %i threads, as many as there is work for',
  async (most) => {
    const pool = createPool(most)
    const share = pool.share()
    const answers = await Promise.all(Array.from({ length: 12 }, () => share.run(20)))
    const threads = threadsOf(answers)
    expect(threads.size).toBeLessThanOrEqual(most)
    expect(threads.has(0)).toBe(false)
    // Each thread has one handler for all of them.
    for (const thread of threads) {
      const counts = answers.filter((answer) => answer.thread === thread).map(({ count }) => count)
      expect(counts.toSorted((a, b) => a - b)).toEqual(counts.map((_, index) => index + 1))
    }
    await pool.close()
  },
)

test('what one request throws is its own failure', async () => {
  const pool = createPool(1)
  const share = pool.share()
  const failing = share.run(-1)
  const other = share.run(0)
  await expect(failing).rejects.toThrow('less than nothing')
  expect(await other).toMatchObject({ count: 1 })
  await pool.close()
})

test('a share that is closed leaves the threads to the others', async () => {
  const pool = createPool(1)
  const [first, second] = [pool.share(), pool.share()]
  await first.run(0)
  const outcomes = Promise.allSettled(Array.from({ length: 6 }, () => first.run(10)))
  const other = second.run(0)
  await first.close()
  // What the thread had already was finished before the share was closed.
  expect((await outcomes).map(({ status }) => status)).toEqual([
    ...Array<string>(2).fill('fulfilled'),
    ...Array<string>(4).fill('rejected'),
  ])
  await expect(first.run(0)).rejects.toThrow('The threads were ended')
  expect(await other).toMatchObject({ count: 4 })
  await pool.close()
})

test('a lane keeps to one thread, and to a handler of its own', async () => {
  const pool = createPool(2)
  const lanes = [pool.lane(), pool.lane(), pool.lane()]
  const share = pool.share()
  for (const count of [1, 2, 3]) {
    const answers = await Promise.all(lanes.map((lane) => lane.run(0)))
    expect(answers.map((answer) => answer.count)).toEqual([count, count, count])
    expect(threadsOf(answers).size).toBe(2)
    expect((await share.run(0)).count).toBeLessThanOrEqual(count)
  }
  for (const lane of lanes) await lane.close()
  await pool.close()
})

test.each([
  ['none is wanted', () => createPool(0)],
  [
    'none can start',
    () =>
      createPool(2, () => {
        throw new Error('no thread')
      }),
  ],
  ['none gets to run', () => createPool(2, () => new Worker('throw new Error("broken")', { eval: true }))],
])('where %s, requests run in place', async (_, create) => {
  const pool = create()
  const lane = pool.lane()
  expect(await lane.run(0)).toEqual({ count: 1, thread: 0 })
  await lane.close()
  const share = pool.share()
  // A request that a thread took with it is lost; the next ones run.
  await share.run(0).catch(() => undefined)
  const answers = await Promise.all([share.run(0), share.run(0)])
  expect(threadsOf(answers)).toEqual(new Set([0]))
  await pool.close()
})

test('the end of a pool is the end of its requests', async () => {
  const pool = createPool(1)
  const share = pool.share()
  await share.run(0)
  const outcomes = Promise.allSettled([share.run(50), share.run(50), share.run(50)])
  await pool.close()
  expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  await expect(share.run(0)).rejects.toThrow('The threads were ended')
})

test('requests run in the caller where no worker gets to run, however many are tried', async () => {
  let started = 0
  const pool = createPool(2, () => {
    started += 1
    return new Worker(new URL('../helpers/no-such-worker.ts', import.meta.url))
  })
  const share = pool.share()
  const answers = await Promise.all(Array.from({ length: 6 }, () => share.run(0)))
  expect(threadsOf(answers)).toEqual(new Set([0]))
  expect(started).toBeLessThanOrEqual(4)
  await pool.close()
})
