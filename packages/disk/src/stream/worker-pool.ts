import { Worker } from 'node:worker_threads'
import { BufferPool, BufferShare, ThreadPool } from '@disk-image/io'
import { requestBytes } from './cluster-reader.ts'
import { createTaskHandler, type DecodeReply, type DecodeRequest } from './decode-tasks.ts'
import { inflateSlackBytes } from './inflate-cluster.ts'

/** What one decoding has of a {@link WorkerPool}. */
export interface WorkerShare {
  readonly buffers: BufferShare
  /** The request's buffer is the worker's until the reply. */
  run(request: DecodeRequest): Promise<DecodeReply>
  /** Rejects what waits, and resolves when no thread works for this decoding any more. */
  cancel(): Promise<void>
}

/** Buffers that a decoding can always have, whatever others do. */
const leastBuffers = 3

/** As many as keep so many workers busy, while others are written. */
function buffersOf(workers: number): number {
  return Math.max(4, workers * 2 + 2)
}

/** The workers' own objects are small and short-lived; what they inflate is outside the heap. */
const workerLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 128 }

/** Threads and buffers for as many disks as share them. */
export class WorkerPool {
  readonly #threads: ThreadPool<DecodeRequest, DecodeReply>
  readonly #buffers: BufferPool
  readonly #buffersOfOne: { readonly least: number; readonly most: number }

  /** @param count workers; 0: everything runs in place */
  constructor(count: number) {
    this.#threads = new ThreadPool({ most: count, start: startWorker, createHandler: createTaskHandler })
    this.#buffersOfOne = { least: leastBuffers, most: buffersOf(count) }
    this.#buffers = new BufferPool({
      bufferBytes: requestBytes + inflateSlackBytes,
      most: 2 * buffersOf(count),
      perBlock: 4,
    })
  }

  share(): WorkerShare {
    const requests = this.#threads.share()
    return {
      buffers: new BufferShare(this.#buffers, this.#buffersOfOne),
      run: (request) => requests.run(request),
      cancel: () => requests.close(),
    }
  }

  /** Ends all workers, whatever they are doing; what they had to do rejects. */
  async close(): Promise<void> {
    this.#buffers.close()
    await this.#threads.close()
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
