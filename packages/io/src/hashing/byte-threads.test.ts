import { createHash } from 'node:crypto'
import type { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { createByteThreads } from './byte-threads.ts'
import type { ByteThreads } from './byte-threads.ts'

const data = Buffer.alloc(1_000_000, 'disk')

async function hash(threads: ByteThreads, algorithm: string): Promise<string> {
  const consumer = threads.run({ kind: 'hash', algorithm })
  try {
    await consumer.update(data.subarray(0, 400_000))
    await consumer.update(data.subarray(400_000))
    return await consumer.finish()
  } finally {
    await consumer.close()
  }
}

test('a thread that has done its task does the next one', async () => {
  const threads = createByteThreads()
  threads.warm()
  for (const algorithm of ['sha512', 'sha256', 'md5', 'sha512']) {
    expect(await hash(threads, algorithm)).toBe(createHash(algorithm).update(data).digest('hex'))
  }
  await threads.close()
})

test('a thread that began with a task, without waiting before, does the next ones', async () => {
  const threads = createByteThreads()
  for (const algorithm of ['sha512', 'sha256', 'sha512']) {
    expect(await hash(threads, algorithm)).toBe(createHash(algorithm).update(data).digest('hex'))
  }
  await threads.close()
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
  const threads = createByteThreads(most)
  const digests = await Promise.all(Array.from({ length: 6 }, () => hash(threads, 'sha512')))
  expect(digests).toEqual(Array.from({ length: 6 }, () => expected))
  expect(started.workers).toHaveLength(most)
  await threads.close()
})

test('a task that is given up leaves its thread to the others', async () => {
  using started = watchThreads()
  const threads = createByteThreads(1)
  const given = threads.run({ kind: 'hash', algorithm: 'sha512' })
  const other = hash(threads, 'sha512')
  const late = given.update(data)
  await given.close()
  await expect(late).rejects.toThrow('The hash was closed')
  await expect(given.update(data)).rejects.toThrow('The hash was closed')
  expect(await other).toBe(expected)
  expect(await hash(threads, 'sha512')).toBe(expected)
  expect(started.workers).toHaveLength(1)
  await threads.close()
})

test('what a task throws is its own failure', async () => {
  const threads = createByteThreads(1)
  const other = hash(threads, 'sha512')
  await expect(hash(threads, 'no-such-hash')).rejects.toThrow('Digest method not supported')
  expect(await other).toBe(expected)
  expect(await hash(threads, 'sha512')).toBe(expected)
  await threads.close()
})

test('a thread that ends early fails its tasks, and no other is given to it', async () => {
  using started = watchThreads()
  const threads = createByteThreads(1)
  const cut = threads.run({ kind: 'hash', algorithm: 'sha512' })
  await cut.update(data)
  await started.workers[0]?.terminate()
  await expect(cut.update(data)).rejects.toThrow('The hashing thread ended early')
  await expect(cut.finish()).rejects.toThrow('The hashing thread ended early')
  await cut.close()
  expect(await hash(threads, 'sha512')).toBe(expected)
  expect(started.workers).toHaveLength(2)
  await threads.close()
})

test('where a thread never gets to its task, the task runs here', async () => {
  const end = (worker: Worker): void => void worker.terminate()
  process.on('worker', end)
  const threads = createByteThreads()
  try {
    expect(await hash(threads, 'sha512')).toBe(expected)
  } finally {
    process.off('worker', end)
    await threads.close()
  }
})

test('after the end tasks still run, and no thread is kept', async () => {
  const threads = createByteThreads()
  threads.warm()
  await threads.close()
  threads.warm()
  expect(await hash(threads, 'md5')).toBe(createHash('md5').update(data).digest('hex'))
})
