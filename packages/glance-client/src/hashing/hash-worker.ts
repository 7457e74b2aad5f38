import { parentPort, workerData } from 'node:worker_threads'
import { runByteTask } from './byte-task.ts'
import type { ByteTask } from './byte-task.ts'

/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin */

// Messages are answered in order: bytes with undefined, null (the end) with the result.
const task = runByteTask(workerData as ByteTask)

parentPort?.on('message', (bytes: Uint8Array | null) => {
  if (bytes === null) {
    parentPort?.postMessage(task.finish())
  } else {
    task.update(bytes)
    parentPort?.postMessage(undefined)
  }
})
