import { checkInsideFile } from './check-inside-file.ts'
import type { ClaimHost } from './check-tables.ts'
import { LeastFirst } from './least-first.ts'
import { Piece, Run } from './run.ts'

/**
 * Plain bytes that will come with the stream, and where they belong. A class for the reason in
 * docs/decisions/0013-offsets-in-classes.md.
 */
export class ExpectedBytes {
  hostOffset: number
  guestOffset: number
  length: number
  /** What they are the rest of. */
  readonly piece: Piece

  constructor(hostOffset: number, guestOffset: number, length: number, piece: Piece) {
    this.hostOffset = hostOffset
    this.guestOffset = guestOffset
    this.length = length
    this.piece = piece
  }
}

/**
 * Plain clusters that tables have told of before they came: each goes to its place straight from the stream. No two
 * of them overlap, since each is claimed as soon as it is known.
 */
export class ExpectedClusters {
  /** Bytes of the file that have come, and whose way is decided. */
  position: number
  readonly #heap = new LeastFirst<ExpectedBytes>(({ hostOffset }) => hostOffset)

  constructor(position: number) {
    this.position = position
  }

  get size(): number {
    return this.#heap.size
  }

  /** What comes first in the file. */
  get first(): ExpectedBytes | undefined {
    return this.#heap.first
  }

  /** Where the first of them ends in the file; undefined where none is expected. */
  get end(): number | undefined {
    const { first } = this.#heap
    return first && first.hostOffset + first.length
  }

  /** @returns the runs of what has come already, to be read from the file */
  place(run: Run, clusterSize: number, claim: ClaimHost): readonly Run[] {
    if (run.pieces[0]?.kind !== 'plain' || run.needsBytes <= this.position) return [run]
    const behind: Run[] = []
    const end = run.guestOffset + run.length
    let { guestOffset } = run
    for (const piece of run.pieces) {
      const length = Math.min(piece.guestLength, end - guestOffset)
      // A cluster that has come in part is read from the file as a whole.
      const begun = Math.ceil((this.position - piece.hostOffset) / clusterSize) * clusterSize
      const passed = Math.min(Math.max(0, begun), piece.hostLength)
      if (passed > 0) behind.push(firstPart(piece, guestOffset, passed, length))
      if (passed < piece.hostLength) {
        const hostOffset = piece.hostOffset + passed
        claim(hostOffset, piece.hostLength - passed)
        this.#heap.push(new ExpectedBytes(hostOffset, guestOffset + passed, length - passed, piece))
      }
      guestOffset += piece.guestLength
    }
    return behind
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

  /**
   * The file has ended: what has not come is zero, where its cluster began inside the file.
   *
   * @returns guest bytes that are zero for that
   * @throws {Qcow2DecodeError} where a cluster lies outside the file
   */
  giveUp(fileBytes: number, clusterSize: number): number {
    let bytes = 0
    for (let rest = this.#heap.pop(); rest !== undefined; rest = this.#heap.pop()) {
      checkInsideFile(rest.piece, fileBytes, clusterSize)
      bytes += rest.length
    }
    return bytes
  }
}

function firstPart(piece: Piece, guestOffset: number, hostLength: number, guestLength: number): Run {
  const part = new Piece(piece.kind, piece.hostOffset, hostLength, hostLength)
  return new Run(guestOffset, Math.min(guestLength, hostLength), [part], piece.hostOffset + hostLength)
}
