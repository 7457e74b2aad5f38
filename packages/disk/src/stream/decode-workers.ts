import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { InvalidError } from '@disk-image/core'
import { BufferPool, BufferShare, ThreadPool } from '@disk-image/io'
import { requestBytes, createTaskHandler, type DecodeReply, type DecodeRequest } from './decode-tasks.ts'
import { inflateSlackBytes } from './inflate-cluster.ts'

/**
 * Threads and buffers that several decodings share, so that many at once take no more of them than two do. They start
 * when there is something to inflate, end two seconds after the last of it, and don't hold up the end of the process.
 */
export interface DecodeWorkers extends AsyncDisposable {
  /** Ends the threads at once; decodings that need one fail. */
  close(): Promise<void>
}

/** What one decoding has of {@link DecodeWorkers}. */
export interface WorkerShare {
  readonly buffers: BufferShare
  /** The request's buffer is the worker's until the reply. */
  run(request: DecodeRequest): Promise<DecodeReply>
  /** Rejects what waits, and resolves when no thread works for this decoding any more. Ends threads of its own. */
  close(): Promise<void>
}

/** Buffers that a decoding can always have, whatever others do. */
const leastBuffers = 3

/** The workers' own objects are small and short-lived; what they inflate is outside the heap. */
const workerLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 128 }

class DecodePool implements DecodeWorkers {
  readonly #threads: ThreadPool<DecodeRequest, DecodeReply>
  readonly #buffers: BufferPool
  /** As many as keep so many workers busy, while others are written. */
  readonly #buffersOfOne: number

  constructor(count: number) {
    this.#threads = new ThreadPool({ most: count, start: startWorker, createHandler: createTaskHandler })
    this.#buffersOfOne = Math.max(4, count * 2 + 2)
    this.#buffers = new BufferPool({
      bufferBytes: requestBytes + inflateSlackBytes,
      most: 2 * this.#buffersOfOne,
      perBlock: 4,
    })
  }

  static share(pool: DecodePool, isOwn: boolean): WorkerShare {
    const requests = pool.#threads.share()
    return {
      buffers: new BufferShare(pool.#buffers, { least: leastBuffers, most: pool.#buffersOfOne }),
      run: (request) => requests.run(request),
      close: async () => void (await Promise.all([isOwn && pool.close(), requests.close()])),
    }
  }

  async close(): Promise<void> {
    this.#buffers.close()
    await this.#threads.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

function startWorker(): Worker {
  // The manifest says where it lies, in the sources and in the build.
  return new Worker(new URL(import.meta.resolve('#decode-worker')), {
    execArgv: [],
    env: {},
    resourceLimits: workerLimits,
  })
}

/**
 * Makes {@link DecodeWorkers}, for the option `workers` of `openStreamDecoder` and `decodeQcow2`.
 *
 * @param count threads; 0: everything is inflated in the caller's own. @default CPUs, at most 4
 */
export function createDecodeWorkers(count: number = usualWorkers()): DecodeWorkers {
  return new DecodePool(count)
}

/**
 * A share of threads that others share, or of as many of its own.
 *
 * @throws {InvalidError} for an object that {@link createDecodeWorkers} did not make
 */
export function shareWorkers(workers: number | DecodeWorkers = usualWorkers()): WorkerShare {
  if (typeof workers === 'number') return DecodePool.share(new DecodePool(workers), true)
  if (workers instanceof DecodePool) return DecodePool.share(workers, false)
  throw new InvalidError({ reason: 'Option workers is neither a number nor made by createDecodeWorkers.' })
}

function usualWorkers(): number {
  return Math.min(4, availableParallelism())
}
