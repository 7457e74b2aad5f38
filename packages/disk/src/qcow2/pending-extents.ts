import { GuestExtent, HostExtent } from './extents.ts'
import { MinHeap } from './min-heap.ts'

/**
 * Bytes that will come with the stream, and where they belong. A class for the reason in
 * docs/decisions/0013-offsets-in-classes.md.
 */
export class PendingExtent {
  hostOffset: number
  guestOffset: number
  length: number

  constructor(hostOffset: number, guestOffset: number, length: number) {
    this.hostOffset = hostOffset
    this.guestOffset = guestOffset
    this.length = length
  }
}

/**
 * Normal clusters that tables have told of before they came: each goes to its place straight from the stream. No two
 * of them overlap, since each is claimed as soon as it is known.
 */
export class PendingExtents {
  readonly #clusterSize: number
  readonly #heap = new MinHeap<PendingExtent>(({ hostOffset }) => hostOffset)

  constructor(clusterSize: number) {
    this.#clusterSize = clusterSize
  }

  get size(): number {
    return this.#heap.size
  }

  /** What comes first in the file. */
  get first(): PendingExtent | undefined {
    return this.#heap.first
  }

  /** Where the first of them ends in the file; infinite where none is pending. */
  get end(): number {
    const { first } = this.#heap
    return first === undefined ? Infinity : first.hostOffset + first.length
  }

  /**
   * Takes the parts of an extent that are still to come.
   *
   * @param position bytes of the file that have come, and whose way is decided
   * @returns the extents of what has come already, to be read from the spool
   */
  place(extent: GuestExtent, position: number): readonly GuestExtent[] {
    if (extent.parts[0]?.kind !== 'normal' || extent.needsBytes <= position) return [extent]
    const spooled: GuestExtent[] = []
    const end = extent.guestOffset + extent.length
    let { guestOffset } = extent
    for (const part of extent.parts) {
      const length = Math.min(part.guestLength, end - guestOffset)
      // A cluster that has come in part is read from the spool as a whole.
      const begun = Math.ceil((position - part.hostOffset) / this.#clusterSize) * this.#clusterSize
      const passed = Math.min(Math.max(0, begun), part.hostLength)
      if (passed > 0 && length > 0) spooled.push(firstPart(part, guestOffset, passed, length))
      if (passed < length) {
        this.#heap.push(new PendingExtent(part.hostOffset + passed, guestOffset + passed, length - passed))
      }
      guestOffset += part.guestLength
    }
    return spooled
  }

  /** Takes so many bytes of the first, or all that are left. */
  consume(length: number): void {
    const { first } = this.#heap
    if (first === undefined) return
    first.hostOffset += length
    first.guestOffset += length
    first.length -= length
    if (first.length <= 0) this.#heap.pop()
  }

  /** Hands out what will not come any more. */
  take(): PendingExtent | undefined {
    return this.#heap.pop()
  }
}

function firstPart(
  part: HostExtent,
  guestOffset: number,
  hostLength: number,
  guestLength: number,
): GuestExtent {
  const first = new HostExtent(part.kind, part.hostOffset, hostLength, hostLength)
  return new GuestExtent(
    guestOffset,
    Math.min(guestLength, hostLength),
    [first],
    part.hostOffset + hostLength,
  )
}
