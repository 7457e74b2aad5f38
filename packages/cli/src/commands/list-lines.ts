/** Most bytes that one line may have. */
export const maximumLineBytes: number = 64 * 1024

/** One line of a list. */
export interface ListLine {
  /** From 1. */
  readonly number: number
  /** Without its end; undefined where it can't be read as text, with the reason. */
  readonly text: string | undefined
  readonly problem: string | undefined
}

const [lineFeed, carriageReturn] = [0x0a, 0x0d]
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Cuts bytes into lines, whatever the bytes are: lines end with LF or CR LF, a byte order mark at the start is
 * skipped, and never more than one line is kept.
 */
export async function* readLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<ListLine> {
  let number = 0
  let parts: Uint8Array[] = []
  let length = 0
  const finish = (): ListLine => {
    number += 1
    const line = toLine(length, parts, number)
    parts = []
    length = 0
    return line
  }
  for await (const chunk of source) {
    let start = 0
    for (let end = chunk.indexOf(lineFeed); end !== -1; end = chunk.indexOf(lineFeed, start)) {
      length += end - start
      if (length <= maximumLineBytes) parts.push(chunk.subarray(start, end))
      start = end + 1
      yield finish()
    }
    length += chunk.length - start
    if (length > maximumLineBytes) parts = []
    // Copied: the source may use its buffer again.
    else if (start < chunk.length) parts.push(chunk.slice(start))
  }
  if (length > 0) yield finish()
}

function toLine(length: number, parts: readonly Uint8Array[], number: number): ListLine {
  if (length > maximumLineBytes) {
    return { number, text: undefined, problem: `it has ${length} bytes; ${maximumLineBytes} are the most` }
  }
  const bytes = Buffer.concat(parts)
  const end = bytes.at(-1) === carriageReturn ? bytes.length - 1 : bytes.length
  const hasMark = number === 1 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  const content = bytes.subarray(hasMark ? 3 : 0, end)
  if (content.includes(0)) return { number, text: undefined, problem: 'it has a NUL byte: this is no text' }
  try {
    const text = utf8.decode(content)
    return { number, text, problem: undefined }
  } catch {
    return { number, text: undefined, problem: 'it is not UTF-8' }
  }
}
