import { type Fields, layoutHeadBytes } from '@disk-image/disk/layouts'
import type { Report } from '../result.ts'

/** Bytes of the head that are kept: a verdict is on its way when they have been seen. */
export const headBytes: number = layoutHeadBytes

/** Bytes of the head that are read first where all can be read; for most formats they are enough. */
export const firstBytes: number = 128 * 1024

/** Bytes of the end that are kept for footers. */
export const tailBytes = 4096

/** Longest range that an examiner may ask for at once. With head and tail this bounds all memory. */
export const longestRead: number = 256 * 1024

/** How much of a table is looked at together. More would cost more in new memory than it saves in reading. */
const scannedBytes = 128 * 1024

/** A range of the image. */
export interface Range {
  readonly offset: number
  readonly length: number
}

/** What an examiner asks for: a range of the image, or its end. */
export type Request = ReadRequest | { readonly kind: 'end' }

interface ReadRequest extends Range {
  readonly kind: 'read'
  /** For sources that can read before they must. */
  readonly ahead?: Ahead
}

/** What is likely to be asked for next, from 0 on, in ascending order; undefined when there is no more. */
export type Ahead = (nth: number) => Range | undefined

/** The end of the image. */
export interface ImageEnd {
  readonly sizeBytes: number
  /** The last bytes, at most {@link tailBytes}. */
  readonly tail: Uint8Array
}

/**
 * A range (shorter at the end of the image; undefined if it has gone by), or the end. The bytes of a range stay
 * as they are until the next request, whose answer may come in the same buffer.
 */
export type Answer = Uint8Array | ImageEnd | undefined

/**
 * An examination that asks for bytes as it goes. The same steps run over a stream, where bytes go by once,
 * and over a file; so the answers follow one rule: the head is always there, everything else only in
 * ascending order.
 */
export type Steps<T> = Generator<Request, T, Answer>

/** Looks at an image of one format. Where the head says all, there are no steps. */
export type Examiner = (head: Fields, report: Report) => Steps<void> | void

/** Asks for at most {@link longestRead} bytes, to keep. */
export function* read(offset: number, length: number): Steps<Uint8Array | undefined> {
  const answer = yield { kind: 'read', offset, length: Math.min(length, longestRead) }
  return answer instanceof Uint8Array ? answer.slice() : undefined
}

/** The pieces, from 0 on, in which `count` tables of equal length are scanned. */
export function piecesOf(count: number, length: number, offsetOf: (table: number) => number): Ahead {
  const each = Math.ceil(length / scannedBytes)
  return (nth) => {
    const table = Math.floor(nth / each)
    if (table >= count) return undefined
    const done = (nth % each) * scannedBytes
    return { offset: offsetOf(table) + done, length: Math.min(length - done, scannedBytes) }
  }
}

/**
 * Goes over a range of any length piece by piece; the pieces are not to be kept.
 *
 * @param then pieces of other ranges that are likely to be scanned next
 * @returns how many bytes were there and shown; undefined if the range has gone by
 */
export function* scan(
  offset: number,
  length: number,
  visit: (piece: Uint8Array, at: number) => void,
  then?: Ahead,
): Steps<number | undefined> {
  const pieces = piecesOf(1, length, () => offset)
  const count = Math.ceil(length / scannedBytes)
  let done = 0
  for (let next = 1; next <= count; next += 1) {
    const wanted = Math.min(length - done, scannedBytes)
    const ahead: Ahead = (nth) => pieces(next + nth) ?? then?.(next + nth - count)
    const piece = yield { kind: 'read', offset: offset + done, length: wanted, ahead }
    if (!(piece instanceof Uint8Array)) return done === 0 ? undefined : done
    visit(piece, offset + done)
    done += piece.length
    if (piece.length < wanted) break
  }
  return done
}

/** Waits for the end of the image. Nothing can be read after it, other than the head. */
export function* atEnd(): Steps<ImageEnd> {
  const answer = yield { kind: 'end' }
  if (answer === undefined || answer instanceof Uint8Array) throw new TypeError('the end was expected')
  return answer
}
