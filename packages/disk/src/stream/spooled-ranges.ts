import type { RandomAccessReader } from '@disk-image/core'
import type { SpoolFile } from './spool-file.ts'

const mostRanges = 2 ** 18

/** Which bytes of an image are in the spool, added in the order of the image. */
export class SpooledRanges {
  readonly #starts: number[] = []
  readonly #ends: number[] = []

  /** Whether a range that is no neighbour of the last one can be added. */
  get hasRoom(): boolean {
    return this.#starts.length < mostRanges
  }

  add(offset: number, length: number): void {
    const last = this.#ends.length - 1
    if (last >= 0 && this.#ends[last] === offset) this.#ends[last] = offset + length
    else {
      this.#starts.push(offset)
      this.#ends.push(offset + length)
    }
  }

  /** The image as far as it is spooled; `refuse` ends a read of anything else. */
  readerOf(file: SpoolFile, sizeBytes: number, refuse: (offset: number) => never): RandomAccessReader {
    return {
      size: sizeBytes,
      read: async (offset, length, into) => {
        const count = Math.max(0, Math.min(length, sizeBytes - offset))
        const bytes = (into ?? new Uint8Array(count)).subarray(0, count)
        if (count > 0 && !this.#has(offset, offset + count)) refuse(offset)
        await file.readFully(bytes, offset)
        return bytes
      },
    }
  }

  #has(start: number, end: number): boolean {
    let [low, high] = [0, this.#starts.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#starts[middle] ?? 0) <= start) low = middle + 1
      else high = middle
    }
    return low > 0 && end <= (this.#ends[low - 1] ?? 0)
  }
}
