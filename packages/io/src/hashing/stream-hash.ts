import type { ByteSink } from '@disk-image/core'
import { localByteConsumer } from './byte-consumer.ts'
import type { ByteConsumer } from './byte-consumer.ts'
import type { ByteTask } from './byte-task.ts'
import { createByteThreads } from './byte-threads.ts'
import type { ByteThreads } from './byte-threads.ts'
import { createSlotPool } from './slot-pool.ts'
import { createSlotRing } from './slot-ring.ts'
import type { Slot } from './slot-pool.ts'
import type { SlotRing } from './slot-ring.ts'

/** Options of {@link createStreamHash}. */
export interface StreamHashOptions {
  /** `false` hashes in the calling thread. @default true */
  readonly worker?: boolean | undefined
  /** @default 256 KiB */
  readonly slotBytes?: number | undefined
  /** @default 8 */
  readonly slots?: number | undefined
}

/** Hashes what is written to it, in threads of its own. Close it, whatever happens. */
export interface StreamHash extends ByteSink, AsyncDisposable {
  /** Bytes in shared memory are used where they are, others are copied: then a void result means that they are free again. */
  write(bytes: Uint8Array): Promise<void> | void
  /** Hex digests by the names given. No write may follow. */
  digest(): Promise<Readonly<Record<string, string>>>
  close(): Promise<void>
  /** Whether every hash runs in a thread of its own. */
  readonly inWorker: boolean
}

/**
 * Hashes a stream without holding up the thread that moves it.
 *
 * @param algorithms Node's names: `sha512`, `blake2b512` …
 * @param threads the client's; left out, it has its own
 */
export function createStreamHash(
  algorithms: readonly string[],
  options: StreamHashOptions = {},
  threads?: ByteThreads,
): StreamHash {
  const names = [...new Set(algorithms)]
  const stream = createTaskStream(
    names.map((algorithm): ByteTask => ({ kind: 'hash', algorithm })),
    options,
    threads,
  )
  return {
    write: stream.write,
    digest: async () => {
      const values = await stream.finish()
      return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']))
    },
    close: stream.close,
    get inWorker() {
      return stream.consumers.every((consumer) => consumer.inWorker)
    },
    [Symbol.asyncDispose]: stream.close,
  }
}

/** A sink before several tasks. */
export interface TaskStream {
  readonly consumers: readonly ByteConsumer[]
  readonly write: (bytes: Uint8Array) => Promise<void> | void
  readonly finish: () => Promise<string[]>
  readonly close: () => Promise<void>
}

/** Feeds the same bytes to several tasks. */
export function createTaskStream(
  tasks: readonly ByteTask[],
  options: StreamHashOptions = {},
  shared?: ByteThreads,
): TaskStream {
  const slotBytes = options.slotBytes ?? 256 * 1024
  const threads = shared ?? createByteThreads()
  const consumers = tasks.map((task) =>
    options.worker === false ? localByteConsumer(task) : threads.run(task),
  )
  let ring: SlotRing | undefined
  let slot: Slot | undefined
  let failure: { readonly error: unknown } | undefined
  const lent = new Set<Promise<void>>()

  const give = async (bytes: Uint8Array): Promise<void> => {
    await Promise.all(consumers.map((consumer) => consumer.update(bytes)))
  }
  const lend = (memory: SlotRing, full: Slot): void => {
    const done: Promise<void> = give(full.memory.subarray(0, full.used))
      .then(() => memory.release(full))
      .catch((error: unknown) => {
        failure ??= { error }
      })
      .finally(() => lent.delete(done))
    lent.add(done)
  }
  /** Copies into the ring; a promise where it had to wait for room. */
  const copy = (bytes: Uint8Array): Promise<void> | void => {
    ring ??= createSlotRing(createSlotPool(slotBytes), options.slots ?? 8)
    let rest = bytes
    while (rest.length > 0) {
      if (failure !== undefined) throw failure.error
      slot ??= ring.take()
      if (slot === undefined) return Promise.race(lent).then(() => copy(rest))
      const length = Math.min(rest.length, slotBytes - slot.used)
      slot.memory.set(rest.subarray(0, length), slot.used)
      slot.used += length
      rest = rest.subarray(length)
      if (slot.used === slotBytes) {
        lend(ring, slot)
        slot = undefined
      }
    }
  }
  const flush = (): void => {
    if (ring !== undefined && slot !== undefined && slot.used > 0) lend(ring, slot)
    slot = undefined
  }
  return {
    consumers,
    write: (bytes) => {
      if (consumers.length === 0) return undefined
      if (!(bytes.buffer instanceof SharedArrayBuffer)) return copy(bytes)
      flush()
      return give(bytes)
    },
    finish: async () => {
      flush()
      while (lent.size > 0) await Promise.all(lent)
      if (failure !== undefined) throw failure.error
      return Promise.all(consumers.map((consumer) => consumer.finish()))
    },
    close: async () => {
      await Promise.all(consumers.map((consumer) => consumer.close()))
      if (shared === undefined) await threads.close()
    },
  }
}
