import type { Fields } from '../layouts/fields.ts'

/** Longest line that is looked at; VMware's own are a few hundred characters at most. */
export const longestLine = 4096

/** One line of a descriptor. */
export interface DescriptorLine {
  /** Latin-1, without its end and without blanks around it; cut if `tooLong`. */
  readonly text: string
  readonly offset: number
  readonly tooLong: boolean
}

/**
 * The lines of a text up to its first NUL, one at a time, so that none but this one takes memory. The byte order mark
 * that an editor puts before the first comment is no part of it.
 */
export function* descriptorLines(fields: Fields, start: number, length: number): Generator<DescriptorLine> {
  const { bytes } = fields
  const limit = Math.min(start + length, bytes.length)
  const nul = bytes.subarray(start, limit).indexOf(0)
  const end = nul < 0 ? limit : start + nul
  let at = start
  while (at < end) {
    const newline = bytes.subarray(at, end).indexOf(0x0a)
    const stop = newline < 0 ? end : at + newline
    let from = at === start && isMarkedComment(bytes, at) ? at + 3 : at
    let to = stop
    while (from < to && isBlank(bytes[from])) from += 1
    while (to > from && isBlank(bytes[to - 1])) to -= 1
    const tooLong = to - from > longestLine
    yield { text: fields.text(from, Math.min(to - from, longestLine)), offset: from, tooLong }
    at = stop + 1
  }
}

/** A byte order mark in UTF-8, and `#`. */
function isMarkedComment(bytes: Uint8Array, at: number): boolean {
  return [0xef, 0xbb, 0xbf, 0x23].every((byte, index) => bytes[at + index] === byte)
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d
}
