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
