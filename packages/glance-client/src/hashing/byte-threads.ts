import { Worker } from 'node:worker_threads'
import { workerByteConsumer } from './byte-consumer.ts'
import type { ByteConsumer } from './byte-consumer.ts'
import type { ByteTask } from './byte-task.ts'

/** Threads of one client that run byte tasks. One that has done its task waits a while for another. */
export interface ByteThreads {
  /** Has a thread ready: starting one takes as long as hashing 30 MB. */
  warm(): void
  /** Runs a task in a thread, or in this one where none can start. */
  run(task: ByteTask): ByteConsumer
  /** Ends those that wait, and all that would. */
  close(): Promise<void>
}

const idleMs = 2000
const maximumIdle = 4

/** Makes {@link ByteThreads}. What waits doesn't hold up the end of the process. */
export function createByteThreads(): ByteThreads {
  const idle = new Map<Worker, { readonly timer: NodeJS.Timeout; readonly forget: () => void }>()
  let closed = false

  const leave = (worker: Worker): void => {
    const waiting = idle.get(worker)
    if (waiting === undefined) return
    idle.delete(worker)
    clearTimeout(waiting.timer)
    worker.off('error', waiting.forget)
    worker.off('exit', waiting.forget)
  }
  const wait = (worker: Worker): void => {
    if (closed || idle.size >= maximumIdle) {
      void worker.terminate()
      return
    }
    worker.unref()
    // One that can't start, or ends, is forgotten.
    const forget = (): void => leave(worker)
    worker.on('error', forget)
    worker.on('exit', forget)
    const end = (): void => {
      leave(worker)
      void worker.terminate()
    }
    idle.set(worker, { timer: setTimeout(end, idleMs).unref(), forget })
  }
  return {
    warm() {
      if (idle.size > 0 || closed) return
      const worker = startByteThread()
      if (worker !== undefined) wait(worker)
    },
    run(task) {
      const [worker] = idle.keys()
      if (worker !== undefined) {
        leave(worker)
        worker.ref()
      }
      return workerByteConsumer(task, { worker: worker ?? startByteThread(), wait })
    },
    async close() {
      closed = true
      const workers = [...idle.keys()]
      for (const worker of workers) leave(worker)
      await Promise.all(workers.map((worker) => worker.terminate()))
    },
  }
}

/** Starts a thread that waits for its first task; undefined where none can start, as in a program of one file. */
export function startByteThread(): Worker | undefined {
  try {
    // The manifest says where it lies, in the sources and in the build.
    return new Worker(new URL(import.meta.resolve('#hash-worker')), {
      execArgv: [],
      env: {},
      name: 'disk-image-hash',
    })
  } catch {
    return undefined
  }
}
