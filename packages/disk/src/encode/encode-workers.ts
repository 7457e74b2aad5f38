import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { InvalidError } from '@disk-image/core'
import { ThreadPool } from '@disk-image/io'
import { type CompressReply, type CompressRequest, createCompressHandler } from './compress-tasks.ts'

/**
 * Threads that several encodings share. They start when there is something to compress, end two seconds after the last
 * of it, and don't hold up the end of the process.
 */
export interface EncodeWorkers extends AsyncDisposable {
  /** Ends the threads at once; encodings that need one fail. */
  close(): Promise<void>
}

/** What one encoding has of {@link EncodeWorkers}. */
export interface EncodeShare {
  /** Requests that keep all threads busy. */
  readonly requestsAhead: number
  /** The request's memory is the worker's until the reply. */
  run(request: CompressRequest): Promise<CompressReply>
  /** Resolves when no thread works for this encoding any more. Ends threads of its own. */
  close(): Promise<void>
}

class EncodePool implements EncodeWorkers {
  readonly #threads: ThreadPool<CompressRequest, CompressReply>
  readonly #count: number

  constructor(count: number) {
    this.#count = count
    this.#threads = new ThreadPool({ most: count, start: startWorker, createHandler: createCompressHandler })
  }

  static share(pool: EncodePool, isOwn: boolean): EncodeShare {
    const requests = pool.#threads.share()
    return {
      requestsAhead: pool.#count * 2 + 1,
      run: (request) => requests.run(request),
      close: async () => void (await Promise.all([isOwn && pool.close(), requests.close()])),
    }
  }

  async close(): Promise<void> {
    await this.#threads.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

function startWorker(): Worker {
  // The manifest says where it is, in the sources and in the build.
  return new Worker(new URL(import.meta.resolve('#compress-worker')), { execArgv: [], env: {} })
}

/**
 * Makes {@link EncodeWorkers}, for the option `workers` of `encodeDisk`.
 *
 * @param count threads; 0: everything is compressed in the caller's own. @default CPUs, at most 16
 */
export function createEncodeWorkers(count: number = usualWorkers()): EncodeWorkers {
  return new EncodePool(count)
}

/**
 * A share of threads that others share, or of as many of its own.
 *
 * @throws {InvalidError} for an object that {@link createEncodeWorkers} did not make
 */
export function shareEncodeWorkers(workers: number | EncodeWorkers = usualWorkers()): EncodeShare {
  if (typeof workers === 'number') return EncodePool.share(new EncodePool(workers), true)
  if (workers instanceof EncodePool) return EncodePool.share(workers, false)
  throw new InvalidError({ reason: 'Option workers is neither a number nor made by createEncodeWorkers.' })
}

function usualWorkers(): number {
  return Math.min(16, availableParallelism())
}
