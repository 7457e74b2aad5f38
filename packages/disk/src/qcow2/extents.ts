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
