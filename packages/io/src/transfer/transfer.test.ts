import { expect, test } from 'vitest'
import type { HashPool } from '../hashing/hash-pool.ts'
import { BufferPool } from '../memory/buffers.ts'
import { Transfer } from './transfer.ts'

/** Threads that take bytes and never say that they have them, until they are closed. */
function silentPool(): HashPool {
  const pool: Pick<HashPool, 'close' | 'run' | 'warm'> = {
    warm: () => undefined,
    run: () => {
      const { promise, reject } = Promise.withResolvers<never>()
      return {
        inThread: true,
        update: () => promise,
        finish: () => promise,
        close: async () => reject(new Error('closed')),
      }
    },
    close: async () => undefined,
  }
  return pool as HashPool
}

test('the end does not wait for a hashing thread that says nothing, but for the sink', async () => {
  const { promise: written, resolve: finishWrite } = Promise.withResolvers<void>()
  const { promise: writing, resolve: startWrite } = Promise.withResolvers<void>()
  const sink = {
    write: (): Promise<void> => {
      startWrite()
      return written
    },
  }
  const transfer = new Transfer(
    sink,
    {
      image: { id: 'image', size: 12_000, os_hash_algo: 'sha512', os_hash_value: '00'.repeat(64) },
      threadFromBytes: 0,
    },
    { hashPool: silentPool(), buffers: new BufferPool({ bufferBytes: 1000 }) },
  )
  // The writer waits for a slot, as it does where the hash is slower than the network.
  const waiting = Promise.allSettled([transfer.push(new Uint8Array(12_000))])
  await writing
  let closed = false
  const closing = transfer.close().then(() => {
    closed = true
  })
  expect(await waiting).toMatchObject([{ status: 'rejected', reason: { message: 'The transfer is over' } }])
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(closed).toBe(false)
  finishWrite()
  await closing
  expect(closed).toBe(true)
})

/** A sink whose writes are ended by the test. */
function manualSink(): {
  readonly begun: number[]
  readonly offsets: number[]
  write(chunk: Uint8Array): Promise<void>
  writeAt(chunk: Uint8Array, offset: number): Promise<void>
  end(nth: number, error?: Error): Promise<void>
} {
  const begun: number[] = []
  const offsets: number[] = []
  const ends: PromiseWithResolvers<void>[] = []
  const write = (chunk: Uint8Array): Promise<void> => {
    begun.push(chunk[0] ?? 0)
    const end = Promise.withResolvers<void>()
    ends.push(end)
    return end.promise
  }
  return {
    begun,
    offsets,
    write,
    writeAt: (chunk, offset) => {
      offsets.push(offset)
      return write(chunk)
    },
    end: async (nth, error) => {
      if (error === undefined) ends[nth]?.resolve()
      else ends[nth]?.reject(error)
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

const fourBuffers = Uint8Array.from({ length: 4000 }, (_, index) => 1 + Math.floor(index / 1000))
const unverified = { image: { id: 'image' }, verify: 'none' } as const
const small = (): { readonly buffers: BufferPool } => ({ buffers: new BufferPool({ bufferBytes: 1000 }) })

test('a sink that takes several parts at once gets them in order, with their places, as far as there are buffers', async () => {
  const sink = manualSink()
  const transfer = new Transfer(sink, unverified, small())
  await transfer.push(fourBuffers)
  expect(sink.begun).toEqual([1, 2, 3, 4])
  expect(sink.offsets).toEqual([0, 1000, 2000, 3000])
  // They may settle in any order.
  for (const nth of [2, 0, 3, 1]) await sink.end(nth)
  expect(await transfer.finish()).toMatchObject({ bytes: 4000 })
  await transfer.close()
})

test('bytes that are read again move the place of those behind them', async () => {
  const sink = manualSink()
  const transfer = new Transfer(sink, unverified, small())
  await transfer.push(fourBuffers.subarray(0, 1500), true)
  await transfer.push(fourBuffers.subarray(1500))
  await sink.end(0)
  for (const nth of [1, 2]) await sink.end(nth)
  const finished = transfer.finish()
  await new Promise((resolve) => setImmediate(resolve))
  for (const nth of [0, 1, 2, 3]) await sink.end(nth)
  expect(await finished).toMatchObject({ bytes: 2500 })
  expect(sink.offsets).toEqual([1500, 2500, 3500])
  await transfer.close()
})

test('any other sink gets one part after the other', async () => {
  const sink = manualSink()
  const transfer = new Transfer({ write: (chunk) => sink.write(chunk) }, unverified, small())
  await transfer.push(fourBuffers)
  for (const nth of [0, 1, 2, 3]) {
    expect(sink.begun).toEqual([1, 2, 3, 4].slice(0, nth + 1))
    await sink.end(nth)
  }
  expect(await transfer.finish()).toMatchObject({ bytes: 4000 })
  await transfer.close()
})

test('after a write that fails none begins, and the end waits for those that have', async () => {
  const sink = manualSink()
  const transfer = new Transfer(sink, unverified, small())
  const full = new Error('full')
  void transfer.push(fourBuffers.subarray(0, 2000))
  await sink.end(0, full)
  expect(() => transfer.push(fourBuffers.subarray(2000))).toThrow(full)
  let closed = false
  const closing = transfer.close().then(() => (closed = true))
  await sink.end(2)
  expect(closed).toBe(false)
  await sink.end(1)
  await closing
  expect(sink.begun).toEqual([1, 2])

  const plain = manualSink()
  const other = new Transfer({ write: (chunk) => plain.write(chunk) }, unverified, small())
  await other.push(fourBuffers)
  await plain.end(0, full)
  await expect(other.finish()).rejects.toBe(full)
  await other.close()
  expect(plain.begun).toEqual([1])
})

test('bytes that are where the next buffer is are not copied, and each gets a buffer of its own', async () => {
  const seen: Uint8Array[] = []
  const transfer = new Transfer({ write: (chunk) => void seen.push(chunk) }, unverified, small())
  const first = transfer.nextBuffer()
  expect(first).toHaveLength(1000)
  first?.fill(7, 0, 600)
  await transfer.push(first?.subarray(0, 600) ?? new Uint8Array())
  const rest = transfer.nextBuffer()
  expect(rest).toMatchObject({ byteOffset: (first?.byteOffset ?? 0) + 600, length: 400 })
  rest?.fill(8)
  await transfer.push(rest ?? new Uint8Array())
  await transfer.finish()
  expect(seen).toHaveLength(1)
  expect(seen[0]?.buffer).toBe(first?.buffer)
  expect([...(seen[0]?.subarray(598, 602) ?? [])]).toEqual([7, 7, 8, 8])
  await transfer.close()
})

test('behind bytes that are only hashed again the next ones begin a buffer', async () => {
  const transfer = new Transfer({ write: () => undefined }, unverified, small())
  await transfer.push(new Uint8Array(100), true)
  expect(transfer.nextBuffer()).toBeUndefined()
  await transfer.push(new Uint8Array(100))
  expect(transfer.nextBuffer()).toHaveLength(900)
  expect(await transfer.finish()).toMatchObject({ bytes: 100 })
  await transfer.close()
})

test('a transfer gives every buffer back', async () => {
  const buffers = new BufferPool({ bufferBytes: 1000, most: 8 })
  for (const size of [0, 1, 1000, 2500, 8000]) {
    const transfer = new Transfer(
      { write: () => undefined },
      { image: { id: 'image', size }, verify: 'none' },
      { buffers },
    )
    transfer.nextBuffer()
    await transfer.push(new Uint8Array(size))
    await transfer.finish()
    expect(buffers.free).toBe(8)
    await transfer.close()
    expect(buffers.free).toBe(8)
  }
})
