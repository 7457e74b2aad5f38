import { parentPort } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { runByteTask } from './byte-task.ts'
import type { ByteTask, RunningByteTask } from './byte-task.ts'

/* oxlint-disable unicorn/require-post-message-target-origin -- a thread has no origin */

/** Takes a task, its bytes and null for its end, then the next task. Answers bytes with undefined, ends with the result. */
function serve(port: MessagePort): void {
  let task: RunningByteTask | undefined
  port.on('message', (request: ByteTask | Uint8Array | null) => {
    if (request === null) {
      port.postMessage(task?.finish())
      task = undefined
    } else if (request instanceof Uint8Array) {
      task?.update(request)
      port.postMessage(undefined)
    } else {
      task = runByteTask(request)
    }
  })
}

if (parentPort !== null) serve(parentPort)
