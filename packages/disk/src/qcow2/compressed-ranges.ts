import { maximumCompressedRanges } from './limits.ts'
import { refuse } from './qcow2-decode-error.ts'

const bucketBytes = 2 ** 20

/**
 * Which bytes compressed clusters were really inflated from. Their neighbours may share a sector, never a byte:
 * otherwise a small file could inflate to any size.
 */
export class CompressedRanges {
  /** Per MiB of the file: starts and ends in turn, ascending, neighbours merged. */
  readonly #buckets = new Map<number, number[]>()
  #count = 0

  /** @throws {Qcow2DecodeError} where a byte of the range was claimed before */
  claim(offset: number, length: number): void {
    const end = offset + length
    for (let start = offset; start < end;) {
      const bucket = Math.floor(start / bucketBytes)
      const stop = Math.min(end, (bucket + 1) * bucketBytes)
      this.#insert(bucket, start, stop)
      start = stop
    }
  }

  #insert(bucket: number, start: number, end: number): void {
    const ranges = this.#buckets.get(bucket)
    if (ranges === undefined) {
      this.#grow()
      this.#buckets.set(bucket, [start, end])
      return
    }
    const position = firstAfter(ranges, start)
    const previousEnd = ranges[position - 1] ?? 0
    const nextStart = ranges[position] ?? Infinity
    // An odd position is inside a range.
    if (position % 2 === 1 || end > nextStart) {
      refuse('qcow2-cluster-used-twice', 'two compressed clusters share bytes', start)
    }
    const joinsPrevious = position > 0 && previousEnd === start
    const joinsNext = nextStart === end
    if (joinsPrevious && joinsNext) {
      ranges.splice(position - 1, 2)
      this.#count -= 1
    } else if (joinsPrevious) ranges[position - 1] = end
    else if (joinsNext) ranges[position] = start
    else {
      this.#grow()
      ranges.splice(position, 0, start, end)
    }
  }

  #grow(): void {
    this.#count += 1
    if (this.#count > maximumCompressedRanges) {
      refuse(
        'qcow2-state-limit',
        'its compressed clusters are more scattered than the decoder keeps track of',
      )
    }
  }
}

/** Index of the first bound greater than the value, so that a range's end does not count as inside. */
function firstAfter(bounds: readonly number[], value: number): number {
  let low = 0
  let high = bounds.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((bounds[middle] ?? 0) > value) high = middle
    else low = middle + 1
  }
  return low
}
