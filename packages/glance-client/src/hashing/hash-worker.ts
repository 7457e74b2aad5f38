import { parentPort } from 'node:worker_threads'
import { runByteTask } from './byte-task.ts'
import type { ByteTask, RunningByteTask } from './byte-task.ts'

/** A task, its bytes, and null for its end; then the next task. */
export type ByteThreadRequest = ByteTask | Uint8Array | null

/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin */

let task: RunningByteTask | undefined

// Bytes and ends are answered in order: bytes with undefined, the end with the result.
parentPort?.on('message', (request: ByteThreadRequest) => {
  if (request === null) {
    parentPort?.postMessage(task?.finish())
    task = undefined
  } else if (request instanceof Uint8Array) {
    task?.update(request)
    parentPort?.postMessage(undefined)
  } else {
    task = runByteTask(request)
  }
})
