import { InvalidError } from '@disk-image/core'
import { checkedImage, maximumBytes, readObject } from '../api/answers.ts'
import type { GlanceImage } from '../api/answers.ts'
import type { Api, ApiCall } from '../api/api.ts'
import { GlanceAnswerError } from '../errors.ts'
import type { ListImagesOptions } from './client-types.ts'

/** Pages of 25 images, as Glance makes them, reach the limit of bytes before. Smaller ones would go on for minutes. */
const maximumPages = 2000
/** Some twenty thousand images. Whoever collects them needs up to ten times their text. */
const maximumListBytes = 32 * 1024 * 1024
const maximumLink = 4096

/** Follows the pages of a listing; it ends also where a service's pages go round in circles. */
export async function* listImages(api: Api, options: ListImagesOptions): AsyncGenerator<GlanceImage> {
  let query: readonly (readonly [string, string])[] = listQuery(options)
  const seen = new Set<string>()
  let left = options.limit ?? Number.POSITIVE_INFINITY
  let bytes = 0
  for (let pages = 1; left > 0; pages += 1) {
    const call: ApiCall = {
      method: 'GET',
      path: '/v2/images',
      query,
      context: options.context,
      signal: options.signal,
      maximumBytes: maximumBytes.page,
    }
    const answer = await api.call(call)
    const page = readObject<{ images?: unknown; next?: unknown }>(answer)
    const wrong = (reason: string): GlanceAnswerError => new GlanceAnswerError({ url: answer.url, reason })
    if (!Array.isArray(page.images)) throw wrong('it has no list of images')
    const images: unknown[] = page.images
    bytes += answer.text.length
    if (pages > maximumPages || bytes > maximumListBytes) {
      throw wrong('its pages don’t end; ask for fewer images with a limit and a marker')
    }
    for (const image of images) {
      yield checkedImage(answer, image)
      left -= 1
      if (left <= 0) return
    }
    if (typeof page.next !== 'string' || images.length === 0 || seen.has(page.next)) return
    if (page.next.length > maximumLink) throw wrong('the link to its next page is too long')
    seen.add(page.next)
    // Only the query of `next` is used: its host and path may be those of a proxy's inside.
    const next = page.next.indexOf('?')
    query = next === -1 ? [] : [...new URLSearchParams(page.next.slice(next + 1))]
  }
}

function listQuery(options: ListImagesOptions): [string, string][] {
  const query: [string, string][] = []
  for (const [name, value] of Object.entries(options.filters ?? {})) {
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [value])
      query.push([name, String(one)])
  }
  if (options.memberStatus !== undefined) query.push(['member_status', options.memberStatus])
  if (options.marker !== undefined) query.push(['marker', options.marker])
  const pageSize =
    options.pageSize ?? (options.limit === undefined ? undefined : Math.min(options.limit, 1000))
  if (pageSize !== undefined) {
    if (!Number.isSafeInteger(pageSize) || pageSize < 0) {
      throw new InvalidError({ reason: `A page's size must be a whole number from 0 on, not ${pageSize}` })
    }
    query.push(['limit', String(pageSize)])
  }
  const directions = options.sortDirections ?? []
  for (const [index, key] of (options.sortKeys ?? []).entries()) {
    query.push(['sort_key', key])
    const direction = directions[index] ?? directions[0]
    if (direction !== undefined) query.push(['sort_dir', direction])
  }
  if (options.sortKeys === undefined) for (const direction of directions) query.push(['sort_dir', direction])
  return query
}
