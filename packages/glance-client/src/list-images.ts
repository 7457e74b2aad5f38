import { GlanceHttpError } from './errors/glance-http-error.ts'
import { InvalidError } from '@disk-image/core'
import type { ListImagesOptions } from './client-types.ts'
import type { GlanceImage } from './glance-image.ts'
import type { Api, ApiCall } from './transport/api.ts'

/** Follows the pages of a listing; it ends also where a service's pages go round in circles. */
export async function* listImages(api: Api, options: ListImagesOptions): AsyncGenerator<GlanceImage> {
  let query: readonly (readonly [string, string])[] = listQuery(options)
  const seen = new Set<string>()
  let left = options.limit ?? Number.POSITIVE_INFINITY
  while (left > 0) {
    const call: ApiCall = {
      method: 'GET',
      path: '/v2/images',
      query,
      context: options.context,
      signal: options.signal,
    }
    const { text } = await api.call(call)
    const page = JSON.parse(text) as { images?: unknown; next?: unknown }
    const images = Array.isArray(page.images) ? (page.images as GlanceImage[]) : []
    for (const image of images) {
      yield image
      left -= 1
      if (left <= 0) return
    }
    if (typeof page.next !== 'string' || images.length === 0 || seen.has(page.next)) return
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

/** A reply's JSON object. @throws {GlanceHttpError} where it is none */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the reply's shape
export function parseObject<T>(text: string, url: string): T {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as T
  } catch {
    // Said below.
  }
  throw new GlanceHttpError({ status: 502, method: 'GET', url, detail: 'the answer is not a JSON object' })
}
