import { printableLines } from '@disk-image/core'
import type { Io, TextStream } from '../io.ts'

/** A text, marked up or as it was. */
export type Paint = (text: string) => string

/** Marks up text, or leaves it as it is. */
export interface Style {
  readonly bold: Paint
  readonly dim: Paint
  readonly good: Paint
  readonly bad: Paint
  readonly note: Paint
  /** A line, marked up or not, with everything made printable but the marks. */
  readonly line: Paint
}

/** The marks of this module. */
// oxlint-disable-next-line no-control-regex -- exactly these are what is looked for
const marks = /(\u001b\[\d{1,2}m)/

/** Styles for a stream: colours only on a terminal, and not where `NO_COLOR` is set. */
export function styleFor(stream: TextStream, environment: Io['environment']): Style {
  const coloured =
    stream.isTTY === true && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb'
  const paint =
    (start: number, end: number) =>
    (text: string): string =>
      coloured && text !== '' ? `\u001b[${start}m${text}\u001b[${end}m` : text
  return {
    bold: paint(1, 22),
    dim: paint(2, 22),
    good: paint(32, 39),
    bad: paint(31, 39),
    note: paint(33, 39),
    line: (text) =>
      coloured
        ? text
            .split(marks)
            .map((part, index) => (index % 2 === 1 ? part : printableLines(part)))
            .join('')
        : printableLines(text),
  }
}
