import { createHash } from 'node:crypto'
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

// Its port stops with the first task's last listener; only the worker's own listeners start it again.
test('a thread that began with a task, without waiting before, does the next ones', async () => {
  const threads = createByteThreads()
  for (const algorithm of ['sha512', 'sha256', 'sha512']) {
    expect(await hash(threads, algorithm)).toBe(createHash(algorithm).update(data).digest('hex'))
  }
  await threads.close()
})

test('several tasks at once have threads of their own', async () => {
  const threads = createByteThreads()
  const expected = createHash('sha512').update(data).digest('hex')
  expect(await Promise.all(Array.from({ length: 6 }, () => hash(threads, 'sha512')))).toEqual(
    Array.from({ length: 6 }, () => expected),
  )
  await threads.close()
})

test('a task that is given up takes its thread along', async () => {
  const threads = createByteThreads()
  threads.warm()
  const given = threads.run({ kind: 'hash', algorithm: 'sha512' })
  await given.update(data)
  await given.close()
  expect(await hash(threads, 'sha512')).toBe(createHash('sha512').update(data).digest('hex'))
  await threads.close()
})

test('after the end tasks still run, and no thread is kept', async () => {
  const threads = createByteThreads()
  threads.warm()
  await threads.close()
  threads.warm()
  expect(await hash(threads, 'md5')).toBe(createHash('md5').update(data).digest('hex'))
})
