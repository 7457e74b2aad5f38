import type { ByteSink } from '@disk-image/core'
import { hashHere, type HashJob, HashPool } from '../hashing/hash-pool.ts'
import type { HashTask } from '../hashing/hash-task.ts'
import { BufferPool, BufferShare } from '../memory/buffers.ts'
import { Ring } from './transfer.ts'

/** Options of a {@link HashStream}. */
export interface HashStreamOptions {
  /** `false` hashes in the calling thread. @default true */
  readonly inThread?: boolean | undefined
  /** The client's; left out, it has its own. */
  readonly hashPool?: HashPool | undefined
  /** @default 256 KiB */
  readonly bufferBytes?: number | undefined
}

/** Hashes what is written to it, without holding up the thread that moves it. Close it, whatever happens. */
export class HashStream implements ByteSink, AsyncDisposable {
  readonly #jobs: readonly HashJob[]
  readonly #ring: Ring
  readonly #buffers: BufferPool
  readonly #ownHashPool: HashPool | undefined

  /** @param tasks a name is a hash: Node's, `sha512`, `blake2b512` … */
  constructor(tasks: readonly (string | HashTask)[], options: HashStreamOptions = {}) {
    const { inThread = true, hashPool, bufferBytes = 256 * 1024 } = options
    this.#ownHashPool = hashPool === undefined ? new HashPool() : undefined
    const pool = inThread ? (hashPool ?? this.#ownHashPool) : undefined
    this.#jobs = tasks.map((named) => {
      const task: HashTask = typeof named === 'string' ? { kind: 'hash', algorithm: named } : named
      return pool?.run(task) ?? hashHere(task)
    })
    this.#buffers = new BufferPool({ bufferBytes })
    this.#ring = new Ring(new BufferShare(this.#buffers), async (bytes) => {
      await Promise.all(this.#jobs.map((job) => job.update(bytes)))
    })
  }

  /** Whether every hash is computed in another thread. */
  get inThread(): boolean {
    return this.#jobs.every((job) => job.inThread)
  }

  /** Bytes in shared memory are used where they are, others are copied: a void result means that they are free again. */
  write(bytes: Uint8Array): Promise<void> | void {
    if (this.#jobs.length === 0) return
    if (bytes.buffer instanceof SharedArrayBuffer) return this.#ring.lend(bytes)
    return this.#ring.push(bytes)
  }

  /** The results, in the order of the tasks: digests in lower-case hex. No write may follow. */
  async finish(): Promise<string[]> {
    await this.#ring.settle()
    this.#ring.throwIfFailed()
    return Promise.all(this.#jobs.map((job) => job.finish()))
  }

  async close(): Promise<void> {
    this.#ring.fail(new Error('The hash was closed'))
    await Promise.all(this.#jobs.map((job) => job.close()))
    this.#ring.close()
    this.#buffers.close()
    await this.#ownHashPool?.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
