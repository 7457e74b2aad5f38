import type { MessagePort } from 'node:worker_threads'
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

/** What a thread answers: nothing to bytes, the result to the end, or what the task threw. */
export type TaskAnswer = string | Error | undefined

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

/**
 * Runs a task at the other end of a port, which closes where its thread ends. Where the thread never started, the task
 * runs in this one: nothing is lost, because bytes stay lent until they are answered.
 *
 * @param left called once, when the thread has nothing to do with the task any more
 */
export function portByteConsumer(task: ByteTask, port: MessagePort, left: () => void): ByteConsumer {
  const waiting: Waiting[] = []
  let local: RunningByteTask | undefined
  let answered = false
  let failure: Error | undefined
  let isThere = true

  const leave = (): void => {
    if (isThere) left()
    isThere = false
  }
  const fail = (error: Error): void => {
    failure ??= error
    for (const { reject } of waiting.splice(0)) reject(failure)
  }
  const runHere = (): void => {
    try {
      const running = (local = runByteTask(task))
      for (const { bytes, resolve } of waiting.splice(0)) resolve(feed(running, bytes))
    } catch (error) {
      fail(error as Error)
    }
  }
  port.on('message', (answer: TaskAnswer) => {
    answered = true
    if (answer instanceof Error) fail(answer)
    else waiting.shift()?.resolve(answer ?? '')
  })
  port.on('close', () => {
    leave()
    if (answered) fail(new Error('The hashing thread ended early'))
    else if (failure === undefined) runHere()
  })
  const post = async (bytes: Uint8Array | null): Promise<string> => {
    if (failure !== undefined) throw failure
    if (local !== undefined) return feed(local, bytes)
    return new Promise((resolve, reject) => {
      waiting.push({ bytes, resolve, reject })
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
      port.postMessage(bytes)
    })
  }
  return {
    update: async (bytes) => void (await post(bytes)),
    finish: () => post(null),
    close: async () => {
      fail(new Error('The hash was closed'))
      port.close()
      leave()
    },
    get inWorker() {
      return local === undefined
    },
  }
}

function feed(task: RunningByteTask, bytes: Uint8Array | null): string {
  if (bytes === null) return task.finish()
  task.update(bytes)
  return ''
}
