import { type Extent, InvalidError } from '@disk-image/core'
import type { FileRange } from '../blocks/block-map.ts'

/** Most holes that are kept; what is not kept is read, and found to be zero. */
const mostHoles = 2 ** 18
/** A shorter one is not worth keeping. */
const leastHoleBytes = 65_536

/** Where nothing of a file is stored, in bounded memory. */
export class HoleMap {
  readonly #sizeBytes: number
  /** Start and end of each, in order. */
  readonly #bounds: Float64Array

  private constructor(sizeBytes: number, bounds: Float64Array) {
    this.#sizeBytes = sizeBytes
    this.#bounds = bounds
  }

  /** @throws {InvalidError} where they are out of order, or outside the file */
  static async read(
    holes: Iterable<FileRange> | AsyncIterable<FileRange>,
    sizeBytes: number,
  ): Promise<HoleMap> {
    let bounds = new Float64Array(64)
    let count = 0
    let end = 0
    for await (const { offset, length } of holes) {
      if (
        !Number.isSafeInteger(offset + length) ||
        offset < end ||
        length < 0 ||
        offset + length > sizeBytes
      ) {
        throw new InvalidError({
          reason: `A hole of ${length} bytes at ${offset} does not fit a disk of ${sizeBytes} bytes, or is not in order.`,
        })
      }
      const follows = count > 0 && offset === bounds[count - 1]
      end = offset + length
      if (follows) bounds[count - 1] = end
      else if (length >= leastHoleBytes && count < 2 * mostHoles) {
        if (count === bounds.length) {
          const larger = new Float64Array(bounds.length * 2)
          larger.set(bounds)
          bounds = larger
        }
        bounds[count] = offset
        bounds[count + 1] = end
        count += 2
      }
    }
    return new HoleMap(sizeBytes, bounds.subarray(0, count))
  }

  /** The whole file in order, as data and holes. */
  *extents(): Generator<Extent, void, void> {
    let offset = 0
    for (let index = 0; index < this.#bounds.length; index += 2) {
      const start = this.#bounds[index] as number
      const end = this.#bounds[index + 1] as number
      if (start > offset) yield { offset, length: start - offset, kind: 'data' }
      yield { offset: start, length: end - start, kind: 'hole' }
      offset = end
    }
    if (offset < this.#sizeBytes) yield { offset, length: this.#sizeBytes - offset, kind: 'data' }
  }
}
