import type { ClusterEntry } from './l2-entry.ts'

/**
 * Host bytes of a run: `plain` ones are copied, `compressed` ones inflate to one cluster, `kept` ones are zero.
 *
 * A class, like {@link Run}, for the reason in docs/decisions/0013-offsets-in-classes.md.
 */
export class Piece {
  readonly kind: 'plain' | 'compressed' | 'kept'
  readonly hostOffset: number
  readonly hostLength: number
  /** Guest bytes that it makes, before the virtual size cuts the last ones off. */
  readonly guestLength: number

  constructor(kind: Piece['kind'], hostOffset: number, hostLength: number, guestLength: number) {
    this.kind = kind
    this.hostOffset = hostOffset
    this.hostLength = hostLength
    this.guestLength = guestLength
  }
}

/** Neighbouring guest clusters that are read, and written, together. */
export class Run {
  readonly guestOffset: number
  /** Guest bytes, none behind the virtual size. */
  readonly length: number
  readonly pieces: readonly Piece[]
  /** The file must be so long before the run can be read, unless it ends earlier. */
  readonly needsBytes: number

  constructor(guestOffset: number, length: number, pieces: readonly Piece[], needsBytes: number) {
    this.guestOffset = guestOffset
    this.length = length
    this.pieces = pieces
    this.needsBytes = needsBytes
  }
}

/** How many guest clusters are of each kind. */
export interface ClusterCounts {
  plain: number
  compressed: number
  zero: number
  unallocated: number
}

/** A run of scattered small clusters is not made longer than this, so that few of them wait for the last one. */
const scatteredBytes = 256 * 1024

/** Makes runs out of clusters that come in guest order. */
export class RunBuilder {
  readonly #virtualSizeBytes: number
  readonly #clusterSize: number
  readonly #maximumBytes: number
  readonly #emit: (run: Run) => void
  #guestOffset = 0
  #length = 0
  #needsBytes = 0
  #pieces: Piece[] = []

  constructor(init: {
    readonly virtualSizeBytes: number
    readonly clusterSize: number
    readonly maximumBytes: number
    readonly emit: (run: Run) => void
  }) {
    this.#virtualSizeBytes = init.virtualSizeBytes
    this.#clusterSize = init.clusterSize
    this.#maximumBytes = Math.max(init.maximumBytes, init.clusterSize)
    this.#emit = init.emit
  }

  /** @param clusters which are like the first, each right behind the one before; @see VisitClusters */
  add(guestOffset: number, first: ClusterEntry, clusters: number): void {
    if (first.hostLength === 0) {
      this.finish()
      return
    }
    const kind = first.kind === 'plain' || first.kind === 'compressed' ? first.kind : 'kept'
    for (let done = 0; done < clusters;) {
      const start = guestOffset + done * this.#clusterSize
      const hostOffset = first.hostOffset + done * first.hostLength
      if (!this.#fits(start, kind, hostOffset)) this.finish()
      if (this.#pieces.length === 0) this.#guestOffset = start
      const room = Math.floor((this.#maximumBytes - this.#length) / this.#clusterSize)
      const taken = Math.min(clusters - done, room)
      this.#append(new Piece(kind, hostOffset, taken * first.hostLength, taken * this.#clusterSize))
      done += taken
    }
  }

  /** Emits what is under way. */
  finish(): void {
    if (this.#pieces.length === 0) return
    const length = Math.min(this.#length, this.#virtualSizeBytes - this.#guestOffset)
    this.#emit(new Run(this.#guestOffset, length, this.#pieces, this.#needsBytes))
    this.#pieces = []
    this.#length = 0
    this.#needsBytes = 0
  }

  /** Whether a cluster, and what is right behind it, can go on with what is under way. */
  #fits(guestOffset: number, kind: Piece['kind'], hostOffset: number): boolean {
    const last = this.#pieces.at(-1)
    if (last === undefined) return true
    if (last.kind !== kind || guestOffset !== this.#guestOffset + this.#length) return false
    if (this.#length + this.#clusterSize > this.#maximumBytes) return false
    if (kind === 'compressed' || continues(last, hostOffset)) return true
    // A long plain copy stays one copy; short scattered ones are gathered.
    return kind === 'plain' && this.#length < scatteredBytes
  }

  #append(piece: Piece): void {
    const last = this.#pieces.at(-1)
    if (last !== undefined && piece.kind !== 'compressed' && continues(last, piece.hostOffset)) {
      this.#pieces[this.#pieces.length - 1] = new Piece(
        last.kind,
        last.hostOffset,
        last.hostLength + piece.hostLength,
        last.guestLength + piece.guestLength,
      )
    } else {
      this.#pieces.push(piece)
    }
    this.#length += piece.guestLength
    this.#needsBytes = Math.max(this.#needsBytes, piece.hostOffset + piece.hostLength)
  }
}

function continues(last: Piece, hostOffset: number): boolean {
  return last.hostOffset + last.hostLength === hostOffset
}
