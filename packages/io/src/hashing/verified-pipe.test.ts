import { expect, test } from 'vitest'
import type { ByteThreads } from './byte-threads.ts'
import { createVerifiedPipe } from './verified-pipe.ts'

/** Threads that take bytes and never say that they have them, until they are closed. */
function silentThreads(): ByteThreads {
  return {
    warm: () => undefined,
    run: () => {
      const { promise, reject } = Promise.withResolvers<never>()
      return {
        inWorker: true,
        update: () => promise,
        finish: () => promise,
        close: async () => reject(new Error('closed')),
      }
    },
    close: async () => undefined,
  }
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
  const pipe = createVerifiedPipe(
    sink,
    {
      image: { id: 'image', size: 8000, os_hash_algo: 'sha512', os_hash_value: '00'.repeat(64) },
      slotBytes: 1000,
      slots: 4,
      workerFromBytes: 0,
    },
    { threads: silentThreads() },
  )
  // The writer waits for a slot, as it does where the hash is slower than the network.
  const waiting = Promise.allSettled([pipe.push(new Uint8Array(8000))])
  await writing
  let closed = false
  const closing = pipe.close().then(() => {
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
const unverified = { image: { id: 'image' }, verify: 'none', slotBytes: 1000, slots: 8 } as const

test('a sink that takes several parts at once gets them in order, with their places, as far as there are buffers', async () => {
  const sink = manualSink()
  const pipe = createVerifiedPipe(sink, unverified)
  await pipe.push(fourBuffers)
  expect(sink.begun).toEqual([1, 2, 3, 4])
  expect(sink.offsets).toEqual([0, 1000, 2000, 3000])
  // They may settle in any order.
  for (const nth of [2, 0, 3, 1]) await sink.end(nth)
  expect(await pipe.finish()).toMatchObject({ bytes: 4000 })
  await pipe.close()
})

test('bytes that are read again move the place of those behind them', async () => {
  const sink = manualSink()
  const pipe = createVerifiedPipe(sink, unverified)
  await pipe.push(fourBuffers.subarray(0, 1500), false)
  await pipe.push(fourBuffers.subarray(1500))
  await sink.end(0)
  for (const nth of [1, 2]) await sink.end(nth)
  const finished = pipe.finish()
  await new Promise((resolve) => setImmediate(resolve))
  for (const nth of [0, 1, 2, 3]) await sink.end(nth)
  expect(await finished).toMatchObject({ bytes: 2500 })
  expect(sink.offsets).toEqual([1500, 2500, 3500])
  await pipe.close()
})

test('any other sink gets one part after the other', async () => {
  const sink = manualSink()
  const pipe = createVerifiedPipe({ write: (chunk) => sink.write(chunk) }, unverified)
  await pipe.push(fourBuffers)
  for (const nth of [0, 1, 2, 3]) {
    expect(sink.begun).toEqual([1, 2, 3, 4].slice(0, nth + 1))
    await sink.end(nth)
  }
  expect(await pipe.finish()).toMatchObject({ bytes: 4000 })
  await pipe.close()
})

test('after a write that fails none begins, and the end waits for those that have', async () => {
  const sink = manualSink()
  const pipe = createVerifiedPipe(sink, unverified)
  const full = new Error('full')
  void pipe.push(fourBuffers.subarray(0, 2000))
  await sink.end(0, full)
  expect(() => pipe.push(fourBuffers.subarray(2000))).toThrow(full)
  let closed = false
  const closing = pipe.close().then(() => (closed = true))
  await sink.end(2)
  expect(closed).toBe(false)
  await sink.end(1)
  await closing
  expect(sink.begun).toEqual([1, 2])

  const plain = manualSink()
  const other = createVerifiedPipe({ write: (chunk) => plain.write(chunk) }, unverified)
  await other.push(fourBuffers)
  await plain.end(0, full)
  await expect(other.finish()).rejects.toBe(full)
  await other.close()
  expect(plain.begun).toEqual([1])
})
