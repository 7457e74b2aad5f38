import { jsonDepth } from '@disk-image/core'

/** No answer of these services is as deep. */
const maximumDepth = 64
/** Values take up to a hundred times the memory of their text: as many as a page of a thousand images has, and more. */
const maximumValues = 200_000

/** Nesting and number of values are bounded before anything is made of the text. @throws {SyntaxError} */
export function readJson(text: string): unknown {
  if (jsonDepth(text) > maximumDepth) {
    throw new SyntaxError(`its JSON is nested more than ${maximumDepth} levels deep`)
  }
  if (hasMore(text, maximumValues)) throw new SyntaxError(`its JSON has more than ${maximumValues} values`)
  try {
    return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text) as unknown
  } catch {
    // The message of Node.js quotes the text.
    throw new SyntaxError('it is no JSON')
  }
}

/** Whether more values begin in the text than these; what stands in strings counts, too. */
function hasMore(text: string, values: number): boolean {
  let begun = 0
  for (let at = 0; at < text.length && begun <= values; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 0x2c || code === 0x5b || code === 0x7b) begun += 1
  }
  return begun > values
}
