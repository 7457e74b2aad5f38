import { createHash } from 'node:crypto'
import type { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { HashPool } from './hash-pool.ts'

const data = Buffer.alloc(1_000_000, 'disk')

async function hash(pool: HashPool, algorithm: string): Promise<string> {
  const job = pool.run({ kind: 'hash', algorithm })
  try {
    await job.update(data.subarray(0, 400_000))
    await job.update(data.subarray(400_000))
    return await job.finish()
  } finally {
    await job.close()
  }
}

test('a thread that has done its task does the next one', async () => {
  const pool = new HashPool()
  pool.warm()
  for (const algorithm of ['sha512', 'sha256', 'md5', 'sha512']) {
    expect(await hash(pool, algorithm)).toBe(createHash(algorithm).update(data).digest('hex'))
  }
  await pool.close()
})

test('a thread that began with a task, without waiting before, does the next ones', async () => {
  const pool = new HashPool()
  for (const algorithm of ['sha512', 'sha256', 'sha512']) {
    expect(await hash(pool, algorithm)).toBe(createHash(algorithm).update(data).digest('hex'))
  }
  await pool.close()
})

const expected = createHash('sha512').update(data).digest('hex')

/** Notes the threads that start meanwhile. */
function watchThreads(): { readonly workers: Worker[] } & Disposable {
  const workers: Worker[] = []
  const note = (worker: Worker): void => void workers.push(worker)
  process.on('worker', note)
  return { workers, [Symbol.dispose]: () => process.off('worker', note) }
}

test.each([1, 2, 6])('six tasks at once take turns in no more than %i threads', async (most) => {
  using started = watchThreads()
  const pool = new HashPool(most)
  const digests = await Promise.all(Array.from({ length: 6 }, () => hash(pool, 'sha512')))
  expect(digests).toEqual(Array.from({ length: 6 }, () => expected))
  expect(started.workers).toHaveLength(most)
  await pool.close()
})

test('a task that is given up leaves its thread to the others', async () => {
  using started = watchThreads()
  const pool = new HashPool(1)
  const given = pool.run({ kind: 'hash', algorithm: 'sha512' })
  const other = hash(pool, 'sha512')
  const late = given.update(data)
  await given.close()
  await expect(late).rejects.toThrow('The job was closed')
  await expect(given.update(data)).rejects.toThrow('The job was closed')
  expect(await other).toBe(expected)
  expect(await hash(pool, 'sha512')).toBe(expected)
  expect(started.workers).toHaveLength(1)
  await pool.close()
})

test('what a task throws is its own failure', async () => {
  const pool = new HashPool(1)
  const other = hash(pool, 'sha512')
  await expect(hash(pool, 'no-such-hash')).rejects.toThrow('Digest method not supported')
  expect(await other).toBe(expected)
  expect(await hash(pool, 'sha512')).toBe(expected)
  await pool.close()
})

test('a thread that ends early fails its tasks, and no other is given to it', async () => {
  using started = watchThreads()
  const pool = new HashPool(1)
  const cut = pool.run({ kind: 'hash', algorithm: 'sha512' })
  await cut.update(data)
  await started.workers[0]?.terminate()
  await expect(cut.update(data)).rejects.toThrow('A worker thread ended early')
  await expect(cut.finish()).rejects.toThrow('A worker thread ended early')
  await cut.close()
  expect(await hash(pool, 'sha512')).toBe(expected)
  expect(started.workers).toHaveLength(2)
  await pool.close()
})

test('where a thread never gets to its task, the task runs here', async () => {
  const end = (worker: Worker): void => void worker.terminate()
  process.on('worker', end)
  const pool = new HashPool()
  try {
    expect(await hash(pool, 'sha512')).toBe(expected)
  } finally {
    process.off('worker', end)
    await pool.close()
  }
})

test('after the end tasks still run, and no thread is kept', async () => {
  const pool = new HashPool()
  pool.warm()
  await pool.close()
  pool.warm()
  expect(await hash(pool, 'md5')).toBe(createHash('md5').update(data).digest('hex'))
})
