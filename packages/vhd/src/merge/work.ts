import type { CallOptions } from '@disk-image/core'
import type { ChainDisk, ChainExtent } from '@disk-image/disk/vhd'

/** Options of everything that merges children into a base. */
export interface MergeOptions extends CallOptions {
  /**
   * Whether blocks of nothing but zeros are written although the base has nothing there. vhd-util does so;
   * the content is the same. @default false
   */
  readonly keepZeroBlocks?: boolean | undefined
}

/**
 * A range of the base that the children may change. A class for the reason in
 * docs/decisions/0013-offsets-in-classes.md.
 */
export class Work {
  readonly index: number
  readonly start: number
  readonly end: number

  constructor(index: number, start: number, end: number) {
    this.index = index
    this.start = start
    this.end = end
  }
}

/**
 * The ranges, `step` bytes each, of which a child has data, or hides the base by being shorter than it.
 *
 * @param baseHasData whether the base has something in a range that could have to be hidden
 */
export function* listWork(
  children: readonly ChainDisk[],
  step: number,
  baseHasData: (start: number, end: number) => boolean,
): Generator<Work, void, void> {
  const size = (children[0] as ChainDisk).sizeBytes
  const shortest = Math.min(...children.map((child) => child.sizeBytes))
  for (let start = 0; start < size; start += step) {
    const end = Math.min(start + step, size)
    const hides = end > shortest && baseHasData(start, end)
    if (hides || children.some((child) => start < child.sizeBytes && child.mayHaveData(start, end))) {
      yield new Work(start / step, start, end)
    }
  }
}

/** Two extents with at most so much between them are written in one go, together with what is there already. */
const gapBytes = 64 * 1024

/** A range that is written in one go. A class for the reason in docs/decisions/0013-offsets-in-classes.md. */
export class JoinedExtent {
  readonly start: number
  readonly end: number
  /** Whether some of it is not new, and so is read first. */
  readonly hasGaps: boolean

  constructor(start: number, end: number, hasGaps: boolean) {
    this.start = start
    this.end = end
    this.hasGaps = hasGaps
  }
}

/** Joins extents, in order, that lie close together: with 0 bytes between them at most, only those that touch. */
export function joinExtents(extents: readonly ChainExtent[], mostBetween: number = gapBytes): JoinedExtent[] {
  const joined: JoinedExtent[] = []
  for (const { start, end } of extents) {
    const last = joined[joined.length - 1]
    if (last !== undefined && start - last.end <= mostBetween) {
      joined[joined.length - 1] = new JoinedExtent(last.start, end, last.hasGaps || start > last.end)
    } else joined.push(new JoinedExtent(start, end, false))
  }
  return joined
}

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
