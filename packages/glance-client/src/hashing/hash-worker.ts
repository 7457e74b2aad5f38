import { parentPort } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import type { TaskAnswer } from './byte-consumer.ts'
import { runByteTask } from './byte-task.ts'
import type { ByteTask, RunningByteTask } from './byte-task.ts'

/** A task, and the port over which its bytes come, and null for their end. */
export interface TaskOrder {
  readonly task: ByteTask
  readonly port: MessagePort
}

/** Answers everything that comes, in its order. What a task throws ends that task, not the thread with the others. */
function serve({ task, port }: TaskOrder): void {
  let running: RunningByteTask | undefined
  const take = (bytes: Uint8Array | null): TaskAnswer => {
    try {
      running ??= runByteTask(task)
      return bytes === null ? running.finish() : (running.update(bytes) as undefined)
    } catch (error) {
      return error as Error
    }
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  port.on('message', (bytes: Uint8Array | null) => port.postMessage(take(bytes)))
}

parentPort?.on('message', serve)
