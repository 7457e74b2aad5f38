import type { BlockMap } from './block-map.ts'
import { refuseUsedTwice, scanBlocks } from './scan-blocks.ts'

/** Three numbers for each: 48 MiB. A disk in more parts than that waits until its file is whole. */
const mostExtents = 2 ** 21

/** What is stored of a disk, in the order of its file. */
export class StoredExtents {
  readonly count: number
  /** Three for each: byte of the file, byte of the disk, length. */
  readonly #numbers: Float64Array

  private constructor(numbers: Float64Array) {
    this.#numbers = numbers
    this.count = numbers.length / 3
  }

  /**
   * Goes over all tables.
   *
   * @returns undefined where there are too many
   * @throws {DiskFormatError} where two of them overlap
   */
  static async of(map: BlockMap, signal: AbortSignal): Promise<StoredExtents | undefined> {
    let numbers = new Float64Array(3 * 1024)
    let count = 0
    let isSorted = true
    for await (const { offset, length, place } of scanBlocks(map, signal)) {
      if (place < 0) continue
      if (count === mostExtents) return undefined
      if (count * 3 === numbers.length) {
        const larger = new Float64Array(numbers.length * 2)
        larger.set(numbers)
        numbers = larger
      }
      isSorted &&= count === 0 || place > (numbers[count * 3 - 3] ?? 0)
      numbers.set([place, offset, length], count * 3)
      count += 1
    }
    numbers = numbers.subarray(0, count * 3)
    const extents = new StoredExtents(isSorted ? numbers : sortByPlace(numbers))
    extents.#requireApart(map.format)
    return extents
  }

  place(index: number): number {
    return this.#numbers[index * 3] ?? Number.POSITIVE_INFINITY
  }

  offset(index: number): number {
    return this.#numbers[index * 3 + 1] ?? 0
  }

  length(index: number): number {
    return this.#numbers[index * 3 + 2] ?? 0
  }

  /** Claims are compared only so far, and a stream gives its bytes once. */
  #requireApart(format: string): void {
    for (let index = 1; index < this.count; index += 1) {
      const before = this.place(index - 1) + this.length(index - 1)
      if (before > this.place(index)) refuseUsedTwice(format, this.place(index))
    }
  }
}

function sortByPlace(numbers: Float64Array): Float64Array {
  const order = Uint32Array.from({ length: numbers.length / 3 }, (_, index) => index)
  order.sort((a, b) => (numbers[a * 3] ?? 0) - (numbers[b * 3] ?? 0))
  const sorted = new Float64Array(numbers.length)
  for (const [index, from] of order.entries()) sorted.set(numbers.subarray(from * 3, from * 3 + 3), index * 3)
  return sorted
}
