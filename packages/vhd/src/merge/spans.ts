import type { Piece } from '../chain/resolve.ts'

/** Two runs with at most so much between them are written in one go, together with what is there already. */
const gapBytes = 64 * 1024

/** A range that is written in one go. */
export interface Span {
  readonly start: number
  readonly end: number
  /** Whether some of it is not new, and so is read first. */
  readonly hasGaps: boolean
}

/** Joins pieces, in order, that lie close together. */
export function joinPieces(pieces: readonly Piece[]): Span[] {
  const spans: Span[] = []
  for (const { start, end } of pieces) {
    const last = spans[spans.length - 1]
    if (last !== undefined && start - last.end <= gapBytes) {
      spans[spans.length - 1] = { start: last.start, end, hasGaps: last.hasGaps || start > last.end }
    } else spans.push({ start, end, hasGaps: false })
  }
  return spans
}
