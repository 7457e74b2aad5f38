import type { Disk } from '../chain/disk.ts'

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
  children: readonly Disk[],
  step: number,
  baseHasData: (start: number, end: number) => boolean,
): Generator<Work, void, void> {
  const size = (children[0] as Disk).sizeBytes
  const shortest = Math.min(...children.map((child) => child.sizeBytes))
  for (let start = 0; start < size; start += step) {
    const end = Math.min(start + step, size)
    const hides = end > shortest && baseHasData(start, end)
    if (hides || children.some((child) => start < child.sizeBytes && child.mayHaveData(start, end))) {
      yield new Work(start / step, start, end)
    }
  }
}
