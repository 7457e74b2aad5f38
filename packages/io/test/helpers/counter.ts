import { threadId } from 'node:worker_threads'

/** Waits so long, and says how many requests its handler has had, in which thread. Below 0 it fails. */
export function createCounter(): (waitMs: number) => { readonly count: number; readonly thread: number } {
  let count = 0
  return (waitMs) => {
    if (waitMs < 0) throw new RangeError('less than nothing')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, waitMs)
    count += 1
    return { count, thread: threadId }
  }
}
