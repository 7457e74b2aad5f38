import { parentPort } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import type { TaskAnswer } from './byte-consumer.ts'
import { runByteTask } from './byte-task.ts'
import type { ByteTask } from './byte-task.ts'

/** A task, and the port over which its bytes come, and null for their end. */
export interface TaskOrder {
  readonly task: ByteTask
  readonly port: MessagePort
}

/** Answers everything that comes, in its order. What a task throws ends that task, not the thread with the others. */
function serve({ task, port }: TaskOrder): void {
  // Begun before the first bytes come, which then needn't wait for it.
  const running = attempt(() => runByteTask(task))
  const take = (bytes: Uint8Array | null): TaskAnswer => {
    if (running instanceof Error) return running
    return attempt(() => (bytes === null ? running.finish() : (running.update(bytes) as undefined)))
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  port.on('message', (bytes: Uint8Array | null) => port.postMessage(take(bytes)))
}

function attempt<T>(act: () => T): T | Error {
  try {
    return act()
  } catch (error) {
    return error as Error
  }
}

// Whoever waits for this thread has nothing for it yet; its first hash takes 10 ms longer than the others.
runByteTask({ kind: 'hash', algorithm: 'sha512' })

parentPort?.on('message', serve)
