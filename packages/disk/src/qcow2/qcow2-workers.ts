import { availableParallelism } from 'node:os'
import { InvalidError } from '@disk-image/core'
import { WorkerPool } from './worker-pool.ts'

/**
 * Threads and buffers that several decodings share, so that many at once take no more of them than two do. They start
 * when there is something to inflate, end two seconds after the last of it, and don't hold up the end of the process.
 */
export interface Qcow2Workers extends AsyncDisposable {
  /** Ends the threads at once; decodings that need one fail. */
  close(): Promise<void>
}

class SharedWorkers implements Qcow2Workers {
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
 * Makes {@link Qcow2Workers}, for the option `workers` of `decodeQcow2` and `decodeQcow2Stream`.
 *
 * @param count threads; 0: everything is inflated in the caller's own. @default CPUs, at most 4
 */
export function createQcow2Workers(count: number = usualWorkers()): Qcow2Workers {
  return new SharedWorkers(count)
}

/** @throws {InvalidError} for an object that {@link createQcow2Workers} did not make */
export function workersOf(workers: number | Qcow2Workers = usualWorkers()): number | WorkerPool {
  if (typeof workers === 'number') return workers
  if (workers instanceof SharedWorkers) return SharedWorkers.poolOf(workers)
  throw new InvalidError({ reason: 'Option workers is neither a number nor made by createQcow2Workers.' })
}

function usualWorkers(): number {
  return Math.min(4, availableParallelism())
}
