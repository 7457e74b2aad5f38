/** Runs tasks side by side, at most so many at once, and remembers the first that failed. */
export interface Gate {
  /** Waits for a free place, then starts the task. Rejects with what an earlier task failed with. */
  add(task: () => Promise<void>): Promise<void>
  /** Waits for all tasks. Rejects with the first failure. */
  drain(): Promise<void>
  /** Waits for all tasks, whatever came of them. */
  settle(): Promise<void>
}

/** @param limit how many tasks run at once */
export function createGate(limit: number): Gate {
  const running = new Set<Promise<void>>()
  const failures: unknown[] = []
  const check = (): void => {
    if (failures.length > 0) throw failures[0]
  }
  return {
    async add(task) {
      while (running.size >= limit) await Promise.race(running)
      check()
      const promise: Promise<void> = task()
        .catch((error: unknown) => {
          failures.push(error)
        })
        .finally(() => running.delete(promise))
      running.add(promise)
    },
    async settle() {
      await Promise.all(running)
    },
    async drain() {
      await Promise.all(running)
      check()
    },
  }
}
