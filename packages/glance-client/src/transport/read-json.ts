import { jsonDepth } from '@disk-image/core'
import { GlanceAnswerError } from '../errors.ts'
import type { HttpResponse } from './http.ts'

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

/** An answer's JSON. @throws {GlanceAnswerError} where it is none */
export function readAnswer({ text, url }: Pick<HttpResponse, 'text' | 'url'>): unknown {
  try {
    return readJson(text)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new GlanceAnswerError({ url, reason: error.message })
  }
}

/** An answer's JSON object. @throws {GlanceAnswerError} where it is none */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the answer's shape
export function readObject<T>(answer: Pick<HttpResponse, 'text' | 'url'>): T {
  const value = readAnswer(answer)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as T
  throw new GlanceAnswerError({ url: answer.url, reason: 'it is no JSON object' })
}
