import type { Run } from './run.ts'

/** Runs by how much of the file they need, the least first: a binary heap. */
export class WaitingRuns {
  readonly #heap: Run[] = []

  get size(): number {
    return this.#heap.length
  }

  /** Bytes that the file must have for the next run; infinite where none waits. */
  get needsBytes(): number {
    return this.#heap[0]?.needsBytes ?? Infinity
  }

  push(run: Run): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(run)
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent]
      if (above === undefined || above.needsBytes <= run.needsBytes) break
      heap[index] = above
      index = parent
    }
    heap[index] = run
  }

  pop(): Run | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    let index = 0
    for (;;) {
      let child = index * 2 + 1
      const left = heap[child]
      if (left === undefined) break
      const right = heap[child + 1]
      if (right !== undefined && right.needsBytes < left.needsBytes) child += 1
      const below = heap[child]
      if (below === undefined || below.needsBytes >= last.needsBytes) break
      heap[index] = below
      index = child
    }
    heap[index] = last
    return first
  }
}
