/**
 * Neighbouring bytes of the file: `normal` ones are copied, `compressed` ones inflate to one cluster.
 *
 * A class, like {@link GuestExtent}, for the reason in docs/decisions/0013-offsets-in-classes.md.
 */
export class HostExtent {
  readonly kind: 'normal' | 'compressed'
  readonly hostOffset: number
  readonly hostLength: number
  /** Guest bytes that it makes, before the virtual size cuts the last ones off. */
  readonly guestLength: number

  constructor(kind: HostExtent['kind'], hostOffset: number, hostLength: number, guestLength: number) {
    this.kind = kind
    this.hostOffset = hostOffset
    this.hostLength = hostLength
    this.guestLength = guestLength
  }
}

/** Neighbouring bytes of the disk that are read, and written, together. */
export class GuestExtent {
  readonly guestOffset: number
  /** Bytes, none behind the virtual size. */
  readonly length: number
  /** Where they are in the file, in the order of the disk; none where they are zero. */
  readonly parts: readonly HostExtent[]
  /** The file must be so long before they can be read, unless it ends earlier. */
  readonly needsBytes: number

  constructor(guestOffset: number, length: number, parts: readonly HostExtent[], needsBytes: number) {
    this.guestOffset = guestOffset
    this.length = length
    this.parts = parts
    this.needsBytes = needsBytes
  }
}

/** A scattered extent is not made longer than this, so that few of its clusters wait for the last one. */
const scatteredBytes = 256 * 1024

/** Puts ranges that come in guest order together to extents of a bounded length. */
export class ExtentBuilder {
  readonly #virtualSizeBytes: number
  readonly #maximumBytes: number
  readonly #emit: (extent: GuestExtent) => void
  #guestOffset = 0
  #length = 0
  #needsBytes = 0
  #parts: HostExtent[] = []

  /** @param maximumBytes of an extent; no cluster is longer */
  constructor(virtualSizeBytes: number, maximumBytes: number, emit: (extent: GuestExtent) => void) {
    this.#virtualSizeBytes = virtualSizeBytes
    this.#maximumBytes = maximumBytes
    this.#emit = emit
  }

  /** Adds bytes that are stored, as a table tells of them. */
  add(
    kind: HostExtent['kind'],
    guestOffset: number,
    length: number,
    hostOffset: number,
    hostLength: number,
  ): void {
    for (let done = 0; done < length;) {
      const start = guestOffset + done
      const least = kind === 'compressed' ? length : 1
      if (!this.#fits(start, least, kind, hostOffset + done)) this.finish()
      if (this.#parts.length === 0) this.#guestOffset = start
      const taken = Math.min(length - done, this.#maximumBytes - this.#length)
      this.#append(
        kind === 'compressed'
          ? new HostExtent(kind, hostOffset, hostLength, length)
          : new HostExtent(kind, hostOffset + done, taken, taken),
      )
      done += taken
    }
  }

  /** Emits what is under way. */
  finish(): void {
    if (this.#parts.length === 0) return
    const length = Math.min(this.#length, this.#virtualSizeBytes - this.#guestOffset)
    if (length > 0) {
      this.#emit(new GuestExtent(this.#guestOffset, length, this.#parts, this.#needsBytes))
    }
    this.#parts = []
    this.#length = 0
    this.#needsBytes = 0
  }

  /** Whether something, and what is right behind it, can go on with what is under way. */
  #fits(guestOffset: number, least: number, kind: HostExtent['kind'], hostOffset: number): boolean {
    const last = this.#parts.at(-1)
    if (last === undefined) return true
    if (last.kind !== kind || guestOffset !== this.#guestOffset + this.#length) return false
    if (this.#length + least > this.#maximumBytes) return false
    if (kind === 'compressed' || continues(last, hostOffset)) return true
    // A long copy stays one copy; short scattered ones are gathered.
    return this.#length < scatteredBytes
  }

  #append(part: HostExtent): void {
    const last = this.#parts.at(-1)
    if (last !== undefined && part.kind !== 'compressed' && continues(last, part.hostOffset)) {
      this.#parts[this.#parts.length - 1] = new HostExtent(
        last.kind,
        last.hostOffset,
        last.hostLength + part.hostLength,
        last.guestLength + part.guestLength,
      )
    } else {
      this.#parts.push(part)
    }
    this.#length += part.guestLength
    this.#needsBytes = Math.max(this.#needsBytes, part.hostOffset + part.hostLength)
  }
}

function continues(last: HostExtent, hostOffset: number): boolean {
  return last.hostOffset + last.hostLength === hostOffset
}

/**
 * Bytes that will come with the stream, and where they belong. A class for the reason in
 * docs/decisions/0013-offsets-in-classes.md.
 */
class PendingExtent {
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

/** A binary heap: hands things out by a number of theirs, the least first. */
export class MinHeap<Thing> {
  readonly #heap: Thing[] = []
  readonly #number: (thing: Thing) => number

  constructor(number: (thing: Thing) => number) {
    this.#number = number
  }

  get size(): number {
    return this.#heap.length
  }

  /** What is handed out next. Its number may be raised as long as it stays the least. */
  get first(): Thing | undefined {
    return this.#heap[0]
  }

  push(thing: Thing): void {
    const heap = this.#heap
    const number = this.#number(thing)
    let index = heap.length
    heap.push(thing)
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent]
      if (above === undefined || this.#number(above) <= number) break
      heap[index] = above
      index = parent
    }
    heap[index] = thing
  }

  pop(): Thing | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    const number = this.#number(last)
    let index = 0
    for (;;) {
      let child = index * 2 + 1
      const left = heap[child]
      if (left === undefined) break
      const right = heap[child + 1]
      if (right !== undefined && this.#number(right) < this.#number(left)) child += 1
      const below = heap[child]
      if (below === undefined || this.#number(below) >= number) break
      heap[index] = below
      index = child
    }
    heap[index] = last
    return first
  }
}
