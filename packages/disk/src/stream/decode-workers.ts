import { availableParallelism } from 'node:os'
import { InvalidError } from '@disk-image/core'
import { WorkerPool } from './worker-pool.ts'

/**
 * Threads and buffers that several decodings share, so that many at once take no more of them than two do. They start
 * when there is something to inflate, end two seconds after the last of it, and don't hold up the end of the process.
 */
export interface DecodeWorkers extends AsyncDisposable {
  /** Ends the threads at once; decodings that need one fail. */
  close(): Promise<void>
}

class SharedWorkers implements DecodeWorkers {
  readonly #pool: WorkerPool

  constructor(count: number) {
    this.#pool = new WorkerPool(count)
  }

  static poolOf(workers: SharedWorkers): WorkerPool {
    return workers.#pool
  }

  close(): Promise<void> {
    return this.#pool.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/**
 * Makes {@link DecodeWorkers}, for the option `workers` of `decodeQcow2` and `decodeQcow2Stream`.
 *
 * @param count threads; 0: everything is inflated in the caller's own. @default CPUs, at most 4
 */
export function createDecodeWorkers(count: number = usualWorkers()): DecodeWorkers {
  return new SharedWorkers(count)
}

/** @throws {InvalidError} for an object that {@link createDecodeWorkers} did not make */
export function workersOf(workers: number | DecodeWorkers = usualWorkers()): number | WorkerPool {
  if (typeof workers === 'number') return workers
  if (workers instanceof SharedWorkers) return SharedWorkers.poolOf(workers)
  throw new InvalidError({ reason: 'Option workers is neither a number nor made by createDecodeWorkers.' })
}

function usualWorkers(): number {
  return Math.min(4, availableParallelism())
}
