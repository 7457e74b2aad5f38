import { ImageDownloadFailedError } from '@disk-image/core'
import type { ByteSink, OverlappedSink, ProgressListener, VerifyPolicy } from '@disk-image/core'
import { localByteConsumer } from './byte-consumer.ts'
import type { ByteConsumer } from './byte-consumer.ts'
import type { ByteTask } from './byte-task.ts'
import { createByteThreads } from './byte-threads.ts'
import type { ByteThreads } from './byte-threads.ts'
import { planHash, sizeOf } from './hash-plan.ts'
import type { ExpectedImage, HashPlan } from './hash-plan.ts'
import { createSlotPool } from './slot-pool.ts'
import type { SlotPool } from './slot-pool.ts'
import { createSlotRing } from './slot-ring.ts'
import type { Slot } from './slot-pool.ts'

/** Options of {@link createVerifiedPipe}. */
export interface VerifiedPipeOptions {
  readonly image: ExpectedImage
  readonly verify?: VerifyPolicy | undefined
  /** By Node's names. */
  readonly additionalHashes?: readonly string[] | undefined
  readonly onProgress?: ProgressListener | undefined
  /** @default 1 MiB */
  readonly slotBytes?: number | undefined
  /** @default 8: new memory is dear, a MiB of it can cost more than its hash */
  readonly slots?: number | undefined
  /** Hash in a thread of its own from this size on, and where the size is not known. @default 4 MiB */
  readonly workerFromBytes?: number | undefined
}

/** What the transfers of one client share. @default each has its own */
export interface PipeResources {
  readonly threads?: ByteThreads | undefined
  readonly memory?: SlotPool | undefined
}

/** What went through a pipe. */
export interface PipeResult {
  /** Bytes handed to the sink. */
  readonly bytes: number
  readonly hash:
    | { readonly algorithm: string; readonly value: string; readonly verified: boolean }
    | undefined
  readonly additionalHashes: Readonly<Record<string, string>>
}

/** Bytes go in at one end, in any portions; the sink and the hashes take them at the other, side by side. */
export interface VerifiedPipe {
  /** Bytes taken so far, with those read again. */
  readonly received: number
  /** Whether bytes have been handed to the sink. */
  readonly partial: boolean
  /**
   * Free memory in which the next bytes may be put; {@link push} a view of its start, and nothing is copied.
   * Undefined where there is none at the moment.
   */
  room(): Uint8Array | undefined
  /**
   * Takes the bytes: copies them, unless they are where {@link room} wanted them. A promise means: the ring is
   * full, wait before the next bytes.
   * @throws what the sink threw; and where there are more bytes than the image has
   */
  push(bytes: Uint8Array, forSink?: boolean): Promise<void> | undefined
  /** Waits for sink and hashes and compares. @throws {ImageDownloadFailedError} where size or hash is wrong */
  finish(): Promise<PipeResult>
  /** Waits for what is lent, frees everything. Must be called once, whatever the end. */
  close(): Promise<void>
}

/** One slot is filled while others are with the sink and the hashing threads; memory stays the same throughout. */
export function createVerifiedPipe(
  sink: ByteSink,
  options: VerifiedPipeOptions,
  shared: PipeResources = {},
): VerifiedPipe {
  const { image, onProgress } = options
  const plan = planHash(image, options.verify ?? 'fallback')
  const memory = shared.memory ?? createSlotPool(options.slotBytes)
  const { slotBytes } = memory
  const threads = shared.threads ?? createByteThreads()
  const total = sizeOf(image)
  const ring = createSlotRing(memory, options.slots ?? 8)
  const consumers = createConsumers(plan, options, total, threads)
  const lent = new Set<Promise<void>>()
  let wakeWriter: (() => void) | undefined
  let slot: Slot | undefined = ring.take()
  let received = 0
  let filled = 0
  let handedOver = 0
  let passed = 0
  let failure: { readonly error: unknown } | undefined

  const fail = (error: unknown): void => {
    failure ??= { error }
    wakeWriter?.()
  }
  const write = positional(sink, (bytes) => {
    if (failure !== undefined) return false
    handedOver += bytes
    return true
  })
  const give = async (full: Slot): Promise<void> => {
    const bytes = full.memory.subarray(0, full.used)
    const written = full.forSink ? write(bytes, full.offset) : undefined
    const hashed = [...consumers.values()].map((consumer) => consumer.update(bytes))
    try {
      await Promise.all([written, ...hashed])
      passed += bytes.length
      onProgress?.({ stage: 'download', completed: passed, total, unit: 'bytes' })
      // After a failure slots may still be with others: none is used again.
      if (failure === undefined) ring.release(full)
    } catch (error) {
      fail(error)
      // Nobody may free what the sink still reads.
      await written?.catch(() => undefined)
    }
  }
  const lend = (full: Slot): void => {
    const done: Promise<void> = give(full).finally(() => {
      lent.delete(done)
      wakeWriter?.()
    })
    lent.add(done)
  }
  const waitForRelease = async (): Promise<void> => {
    await new Promise<void>((resolve) => {
      wakeWriter = resolve
    })
    wakeWriter = undefined
    if (failure !== undefined) throw failure.error
  }
  const waitForSlot = async (): Promise<void> => {
    if (failure !== undefined) throw failure.error
    slot ??= ring.take()
    while (slot === undefined) {
      await waitForRelease()
      slot = ring.take()
    }
  }
  /** Stops the writer one slot before the last, so that its next bytes have a place of their own. */
  const waitForNextSlot = async (): Promise<void> => {
    await waitForSlot()
    while (ring.free === 0 && lent.size > 0) await waitForRelease()
  }
  /** Fills slots as long as there are free ones; returns how many bytes were copied. */
  const copy = (bytes: Uint8Array, start: number, forSink: boolean): number => {
    let position = start
    while (position < bytes.length) {
      slot ??= ring.take()
      if (slot === undefined) break
      if (slot.forSink !== forSink && slot.used > 0) {
        lend(slot)
        slot = undefined
        continue
      }
      if (slot.used === 0) slot.offset = filled
      slot.forSink = forSink
      const length = Math.min(bytes.length - position, slotBytes - slot.used)
      const part = length === bytes.length ? bytes : bytes.subarray(position, position + length)
      if (!isAt(part, slot)) slot.memory.set(part, slot.used)
      slot.used += length
      filled += length
      position += length
      if (slot.used === slotBytes) {
        lend(slot)
        slot = undefined
      }
    }
    return position
  }
  const copyRest = async (bytes: Uint8Array, start: number, forSink: boolean): Promise<void> => {
    for (let position = start; position < bytes.length;) {
      await waitForSlot()
      position = copy(bytes, position, forSink)
    }
  }
  const settle = async (): Promise<void> => {
    while (lent.size > 0) await Promise.all(lent)
  }

  return {
    get received() {
      return received
    },
    get partial() {
      return handedOver > 0
    },
    push(bytes, forSink = true) {
      if (failure !== undefined) throw failure.error
      if (total !== undefined && received + bytes.length > total) {
        const error = new ImageDownloadFailedError({
          imageId: image.id,
          reason: `more data arrived than the image's ${total} bytes.`,
          partial: handedOver > 0,
        })
        fail(error)
        throw error
      }
      received += bytes.length
      const copied = copy(bytes, 0, forSink)
      if (copied < bytes.length) return copyRest(bytes, copied, forSink)
      slot ??= ring.take()
      return ring.free === 0 && received !== total ? waitForNextSlot() : undefined
    },
    room() {
      slot ??= ring.take()
      return slot === undefined || (slot.used > 0 && !slot.forSink)
        ? undefined
        : slot.memory.subarray(slot.used)
    },
    async finish() {
      if (slot !== undefined && slot.used > 0) lend(slot)
      else if (slot !== undefined) ring.release(slot)
      slot = undefined
      await settle()
      if (failure !== undefined) throw failure.error
      const wrong = (reason: string): ImageDownloadFailedError =>
        new ImageDownloadFailedError({ imageId: image.id, reason, partial: handedOver > 0 })
      if (total !== undefined && received !== total) {
        throw wrong(`${received} bytes arrived, the image has ${total}.`)
      }
      const values = new Map<string, string>()
      for (const [algorithm, consumer] of consumers) values.set(algorithm, await consumer.finish())
      const value = plan === undefined ? undefined : values.get(plan.nodeAlgorithm)
      if (plan?.expected !== undefined && value !== plan.expected) {
        throw wrong(
          `the ${plan.algorithm} hash of the data is ${value}, the image's record says ${plan.expected}.`,
        )
      }
      return {
        bytes: handedOver,
        hash:
          plan === undefined || value === undefined
            ? undefined
            : { algorithm: plan.algorithm, value, verified: plan.expected !== undefined },
        additionalHashes: Object.fromEntries(
          (options.additionalHashes ?? []).map((name) => [name, values.get(name) ?? '']),
        ),
      }
    },
    async close() {
      fail(new Error('The transfer is over'))
      // First those who hash: what they still hold is given back then, also by a thread that says nothing any more.
      await Promise.all([...consumers.values()].map((consumer) => consumer.close()))
      await settle()
      ring.close()
      if (shared.threads === undefined) await threads.close()
    },
  }
}

/** Whether bytes are in a slot already, behind those that it has. */
function isAt(bytes: Uint8Array, { memory, used }: Slot): boolean {
  return bytes.buffer === memory.buffer && bytes.byteOffset === memory.byteOffset + used
}

/**
 * The one place where it matters whether a sink takes several parts at once: any other has one after the other.
 *
 * @param mayBegin asked before each write; one that may not is left out without an error
 */
function positional(
  sink: ByteSink | OverlappedSink,
  mayBegin: (bytes: number) => boolean,
): (bytes: Uint8Array, offset: number) => Promise<void> {
  if ('writeAt' in sink) {
    return async (bytes, offset) => {
      if (mayBegin(bytes.length)) await sink.writeAt(bytes, offset)
    }
  }
  let last: Promise<void> = Promise.resolve()
  return (bytes) => {
    // After one that fails none begins: all of them fail with it.
    last = last.then(() => (mayBegin(bytes.length) ? sink.write(bytes) : undefined))
    return last
  }
}

function createConsumers(
  plan: HashPlan | undefined,
  options: VerifiedPipeOptions,
  total: number | undefined,
  threads: ByteThreads,
): Map<string, ByteConsumer> {
  const inWorker = total === undefined || total >= (options.workerFromBytes ?? 4 * 1024 * 1024)
  const create = (task: ByteTask): ByteConsumer => (inWorker ? threads.run(task) : localByteConsumer(task))
  const names = new Set(options.additionalHashes ?? [])
  if (plan !== undefined) names.add(plan.nodeAlgorithm)
  return new Map([...names].map((algorithm) => [algorithm, create({ kind: 'hash', algorithm })]))
}
