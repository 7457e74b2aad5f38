import { recordProblem } from '@disk-image/core'
import type { ImageLocation } from '@disk-image/core'
import { readJson } from '@disk-image/http'
import type { HttpResponse } from '@disk-image/http'
import { GlanceAnswerError } from '../errors.ts'

/** An image as Glance sends it: base fields and properties side by side. */
export interface GlanceImage {
  readonly id: string
  readonly name?: string | null
  /** `queued`, `saving`, `uploading`, `importing`, `active`, `deactivated`, `killed`, `deleted`, `pending_delete` */
  readonly status: string
  readonly visibility?: string
  readonly owner?: string | null
  readonly protected?: boolean
  readonly disk_format?: string | null
  readonly container_format?: string | null
  readonly size?: number | null
  readonly virtual_size?: number | null
  readonly min_disk?: number
  readonly min_ram?: number
  readonly checksum?: string | null
  readonly os_hash_algo?: string | null
  readonly os_hash_value?: string | null
  readonly os_hidden?: boolean
  readonly tags?: readonly string[]
  readonly created_at?: string
  readonly updated_at?: string
  readonly direct_url?: string
  /** Ids of the stores, with commas between. */
  readonly stores?: string
  /** Stores into which an import is still copying, and into which it failed; with commas between. */
  readonly os_glance_importing_to_stores?: string
  readonly os_glance_failed_import?: string
  readonly [property: string]: unknown
}

type Answer = Pick<HttpResponse, 'text' | 'url'>

const MiB = 1024 * 1024
/** The longest answers of their kinds; a record, and every other, has 1 MiB. */
export const maximumBytes: Readonly<Record<'page' | 'schema' | 'list', number>> = {
  page: 16 * MiB,
  schema: 4 * MiB,
  list: 4 * MiB,
}

/** An answer's JSON. @throws {GlanceAnswerError} where it is none */
function readAnswer({ text, url }: Answer): unknown {
  try {
    return readJson(text)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new GlanceAnswerError({ url, reason: error.message })
  }
}

/** An answer's JSON object. @throws {GlanceAnswerError} where it is none */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the answer's shape
export function readObject<T>(answer: Answer): T {
  const value = readAnswer(answer)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as T
  throw new GlanceAnswerError({ url: answer.url, reason: 'it is no JSON object' })
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
