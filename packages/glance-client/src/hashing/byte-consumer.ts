import type { Worker } from 'node:worker_threads'
import { runByteTask } from './byte-task.ts'
import type { ByteTask, RunningByteTask } from './byte-task.ts'

/** Something that takes bytes in order, at its own pace. */
export interface ByteConsumer {
  /** Takes bytes of shared memory, which must not change until the promise settles. */
  update(bytes: Uint8Array): Promise<void>
  finish(): Promise<string>
  /** Frees what it holds; afterwards nothing may be called. */
  close(): Promise<void>
  readonly inWorker: boolean
}

/** Runs a task in this thread: for little data, and where no worker can be had. */
export function localByteConsumer(task: ByteTask): ByteConsumer {
  const running = runByteTask(task)
  return {
    // Async, so that what a task throws is a rejection.
    update: async (bytes) => running.update(bytes),
    finish: async () => running.finish(),
    close: () => Promise.resolve(),
    inWorker: false,
  }
}

interface Waiting {
  readonly bytes: Uint8Array | null
  readonly resolve: (result: string) => void
  readonly reject: (error: Error) => void
}

/** A thread to run a task in. */
export interface TaskThread {
  /** Undefined where none could start. */
  readonly worker: Worker | undefined
  /** Takes the thread back when it has done its task. Absent: it ends. */
  readonly wait?: ((worker: Worker) => void) | undefined
}

/**
 * Runs a task in a thread. Where the thread can't start, the task runs in this one: nothing is lost, because bytes
 * stay lent until they are answered.
 */
export function workerByteConsumer(task: ByteTask, { worker, wait }: TaskThread): ByteConsumer {
  const waiting: Waiting[] = []
  let local: RunningByteTask | undefined
  let answered = false
  let finished = false

  const runHere = (): RunningByteTask => {
    local = runByteTask(task)
    for (const { bytes, resolve } of waiting.splice(0)) resolve(feed(local, bytes))
    return local
  }
  const failed = (error: Error): void => {
    if (answered) for (const entry of waiting.splice(0)) entry.reject(error)
    else if (local === undefined) runHere()
  }
  const onMessage = (result: string | undefined): void => {
    answered = true
    waiting.shift()?.resolve(result ?? '')
  }
  const onExit = (): void => failed(new Error('The hashing thread ended early'))
  worker?.on('message', onMessage)
  worker?.on('error', failed)
  worker?.on('exit', onExit)

  /* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin */
  worker?.postMessage(task)
  const post = (bytes: Uint8Array | null): Promise<string> => {
    if (worker === undefined || local !== undefined) {
      return Promise.resolve(feed(local ?? runHere(), bytes))
    }
    return new Promise((resolve, reject) => {
      waiting.push({ bytes, resolve, reject })
      worker.postMessage(bytes)
    })
  }
  /* oxlint-enable unicorn/require-post-message-target-origin */
  return {
    update: async (bytes) => void (await post(bytes)),
    finish: async () => {
      const result = await post(null)
      finished = true
      return result
    },
    close: async () => {
      // Only these: without its last listener a worker's port stops, and the worker's own ones start it again.
      worker?.off('message', onMessage)
      worker?.off('error', failed)
      worker?.off('exit', onExit)
      const error = new Error('The hash was closed')
      for (const entry of waiting.splice(0)) entry.reject(error)
      if (worker === undefined) return
      if (finished && local === undefined && wait !== undefined) wait(worker)
      else await worker.terminate()
    },
    get inWorker() {
      return worker !== undefined && local === undefined
    },
  }
}

function feed(task: RunningByteTask, bytes: Uint8Array | null): string {
  if (bytes === null) return task.finish()
  task.update(bytes)
  return ''
}
