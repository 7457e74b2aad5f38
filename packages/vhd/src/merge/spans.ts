import type { Piece } from '../chain/resolve.ts'

/** Two runs with at most so much between them are written in one go, together with what is there already. */
const gapBytes = 64 * 1024

/** A range that is written in one go. A class for the reason in docs/decisions/0013-offsets-in-classes.md. */
export class Span {
  readonly start: number
  readonly end: number
  /** Whether some of it is not new, and so is read first. */
  readonly hasGaps: boolean

  constructor(start: number, end: number, hasGaps: boolean) {
    this.start = start
    this.end = end
    this.hasGaps = hasGaps
  }
}

/** Joins pieces, in order, that lie close together: with 0 bytes between them at most, only those that touch. */
export function joinPieces(pieces: readonly Piece[], mostBetween: number = gapBytes): Span[] {
  const spans: Span[] = []
  for (const { start, end } of pieces) {
    const last = spans[spans.length - 1]
    if (last !== undefined && start - last.end <= mostBetween) {
      spans[spans.length - 1] = new Span(last.start, end, last.hasGaps || start > last.end)
    } else spans.push(new Span(start, end, false))
  }
  return spans
}
