import { type ImageLocation, recordProblem } from '@disk-image/core'
import { GlanceAnswerError } from './errors.ts'
import type { GlanceImage } from './glance-image.ts'
import type { HttpResponse } from './transport/http.ts'
import { readAnswer, readObject } from './transport/read-json.ts'

type Answer = Pick<HttpResponse, 'text' | 'url'>

const MiB = 1024 * 1024
/** The longest answers of their kinds; a record, and every other, has 1 MiB. */
export const maximumBytes: Readonly<Record<'page' | 'schema' | 'list', number>> = {
  page: 16 * MiB,
  schema: 4 * MiB,
  list: 4 * MiB,
}

/** An image's record. @throws {GlanceAnswerError} where it is none */
export function readImage(answer: Answer): GlanceImage {
  return checkedImage(answer, readObject<GlanceImage>(answer))
}

/** One of the images of a page. @throws {GlanceAnswerError} */
export function checkedImage({ url }: Answer, image: unknown): GlanceImage {
  const problem = recordProblem(image)
  if (problem !== undefined) throw new GlanceAnswerError({ url, reason: `of an image's record, ${problem}` })
  return image as GlanceImage
}

/**
 * A list of objects that an answer has under a name.
 *
 * @param text fields that every one of them must have as a text
 * @throws {GlanceAnswerError}
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the answer's shape
export function readList<T>(answer: Answer, name: string, text: readonly string[]): T[] {
  const list = readObject<Record<string, unknown>>(answer)[name]
  const isItem = (item: unknown): boolean =>
    typeof item === 'object' &&
    item !== null &&
    text.every((field) => typeof (item as Record<string, unknown>)[field] === 'string')
  if (Array.isArray(list) && list.every(isItem)) return list as T[]
  const fields = text.length === 0 ? '' : ` with ${text.join(' and ')}`
  throw new GlanceAnswerError({ url: answer.url, reason: `its ${name} are no list of objects${fields}` })
}

/** An image's locations, which stand alone; what is none among them is left to who uses them. @throws {GlanceAnswerError} */
export function readLocations(answer: Answer): ImageLocation[] {
  const value = readAnswer(answer)
  if (Array.isArray(value)) return value as ImageLocation[]
  throw new GlanceAnswerError({ url: answer.url, reason: 'it is no list of locations' })
}
