import { availableParallelism } from 'node:os'
import { MessageChannel, Worker } from 'node:worker_threads'
import { localByteConsumer, portByteConsumer } from './byte-consumer.ts'
import type { ByteConsumer } from './byte-consumer.ts'
import type { ByteTask } from './byte-task.ts'

/** Threads of one client that run byte tasks. One that has nothing to do waits a while for another task. */
export interface ByteThreads {
  /** Has a thread ready: starting one takes as long as hashing 30 MB. */
  warm(): void
  /** Runs a task in a thread, or in this one where none can start. */
  run(task: ByteTask): ByteConsumer
  /** Ends those that wait, and each other one with its last task. */
  close(): Promise<void>
}

interface Thread {
  readonly worker: Worker
  tasks: number
  idle: NodeJS.Timeout | undefined
}

const idleMs = 2000

/**
 * Makes {@link ByteThreads}. What waits doesn't hold up the end of the process.
 *
 * @param most threads: more than cores hash no faster, and each costs as much to start as 30 MB to hash; beyond it
 *   tasks take turns in the threads that there are
 */
export function createByteThreads(most: number = availableParallelism()): ByteThreads {
  const threads = new Set<Thread>()
  let closed = false

  const end = async (thread: Thread): Promise<void> => {
    threads.delete(thread)
    clearTimeout(thread.idle)
    await thread.worker.terminate()
  }
  const wait = (thread: Thread): void => {
    if (closed) void end(thread)
    else thread.idle = setTimeout(() => void end(thread), idleMs).unref()
  }
  const start = (): Thread | undefined => {
    const worker = startWorker()
    if (worker === undefined) return undefined
    // A task keeps the process by its port, and learns by it that its thread ended.
    worker.unref()
    const thread: Thread = { worker, tasks: 0, idle: undefined }
    worker.on('error', () => threads.delete(thread))
    worker.on('exit', () => threads.delete(thread))
    threads.add(thread)
    return thread
  }
  /** The thread with the least to do, or a new one where all have something. */
  const choose = (): Thread | undefined => {
    let least: Thread | undefined
    for (const thread of threads) if (least === undefined || thread.tasks < least.tasks) least = thread
    if (least?.tasks === 0 || threads.size >= most) return least
    return start() ?? least
  }
  return {
    warm() {
      if (closed || threads.size > 0) return
      const thread = start()
      if (thread !== undefined) wait(thread)
    },
    run(task) {
      const thread = choose()
      if (thread === undefined) return localByteConsumer(task)
      clearTimeout(thread.idle)
      thread.tasks += 1
      const { port1, port2 } = new MessageChannel()
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
      thread.worker.postMessage({ task, port: port2 }, [port2])
      return portByteConsumer(task, port1, () => {
        thread.tasks -= 1
        if (thread.tasks === 0 && threads.has(thread)) wait(thread)
      })
    },
    async close() {
      closed = true
      await Promise.all([...threads].filter(({ tasks }) => tasks === 0).map(end))
    },
  }
}

function startWorker(): Worker | undefined {
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
