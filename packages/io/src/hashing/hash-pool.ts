import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { type Requests, ThreadPool } from '../threads/thread-pool.ts'
import { createHashHandler, type HashRequest, type HashTask } from './hash-task.ts'

/** A task that takes bytes in order, and says its result at their end. */
export interface HashJob {
  /** Takes bytes of shared memory, which must not change until the promise settles. */
  update(bytes: Uint8Array): Promise<void>
  /** The digest in lower-case hex; of a signature `valid` or `invalid`. */
  finish(): Promise<string>
  /** Frees what it holds; afterwards everything rejects. */
  close(): Promise<void>
  readonly inThread: boolean
}

/** Threads of one client in which hashes are computed. One that has nothing to do waits a while for another job. */
export class HashPool {
  readonly #threads: ThreadPool<HashRequest, string>

  /**
   * @param most threads: more than cores hash no faster, and each costs as much to start as 30 MB to hash; beyond it
   *   jobs take turns in the threads that there are. 0: all run in the caller's own. @default one for each core
   */
  constructor(most: number = availableParallelism()) {
    this.#threads = new ThreadPool({ most, start: startWorker, createHandler: createHashHandler })
  }

  /** Has a thread ready: starting one takes as long as hashing 30 MB. */
  warm(): void {
    this.#threads.warm()
  }

  /** Runs a task in a thread, or in this one where none can start. */
  run(task: HashTask): HashJob {
    return begin(task, this.#threads.lane())
  }

  /** Ends those that wait, and each other one with its last job. */
  close(): Promise<void> {
    return this.#threads.retire()
  }
}

/** Runs a task in this thread: for little data. */
export function hashHere(task: HashTask): HashJob {
  return new HashPool(0).run(task)
}

function begin(
  task: HashTask,
  requests: Requests<HashRequest, string> & { readonly inThread: boolean },
): HashJob {
  // Whatever comes next says why it could not begin.
  requests.run(task).catch(() => undefined)
  return {
    update: async (bytes) => void (await requests.run(bytes)),
    finish: () => requests.run(null),
    close: () => requests.close(),
    get inThread() {
      return requests.inThread
    },
  }
}

function startWorker(): Worker {
  // The manifest says where it lies, in the sources and in the build.
  return new Worker(new URL(import.meta.resolve('#hash-worker')), {
    execArgv: [],
    env: {},
    name: 'disk-image-hash',
  })
}
