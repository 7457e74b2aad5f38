import { checkImageId, ImageNotFoundError, InvalidError } from '@disk-image/core'
import type { HttpResponse } from '@disk-image/http'
import { aboutImage, fieldError, plainError } from '../api/answer-errors.ts'
import { checkedImage, maximumBytes, readImage, readObject } from '../api/answers.ts'
import type { GlanceImage } from '../api/answers.ts'
import type { Api, ApiCall } from '../api/api.ts'
import type { GlanceCallOptions, GlanceClient, ImagePatch, ListImagesOptions } from './client-types.ts'
import { GlanceAnswerError, GlanceHttpError } from '../errors.ts'

/** How Glance wants a JSON patch announced. */
const patchType = 'application/openstack-images-v2.1-json-patch'

/** Sends calls, and tells what became of them. */
export class Calls {
  readonly #api: Api

  constructor(api: Api) {
    this.#api = api
  }

  async send(call: ApiCall, options: GlanceCallOptions = {}): Promise<HttpResponse> {
    try {
      return await this.#api.call({ ...call, context: options.context, signal: options.signal })
    } catch (error) {
      throw plainError(error)
    }
  }

  async object<T>(call: ApiCall, options?: GlanceCallOptions): Promise<T> {
    return readObject<T>(await this.send(call, options))
  }

  /** @param suffix of the image's own path */
  about(
    imageId: string,
    call: Omit<ApiCall, 'path'>,
    { context, signal }: GlanceCallOptions = {},
    suffix = '',
  ): Promise<HttpResponse> {
    return aboutImage(imageId, () =>
      this.#api.call({ ...call, path: pathOf(imageId, suffix), context, signal }),
    )
  }

  async objectAbout<T>(
    imageId: string,
    call: Omit<ApiCall, 'path'>,
    options?: GlanceCallOptions,
    suffix = '',
  ): Promise<T> {
    return readObject<T>(await this.about(imageId, call, options, suffix))
  }
}

export type ImageCalls = Pick<
  GlanceClient,
  | 'list'
  | 'show'
  | 'create'
  | 'patch'
  | 'update'
  | 'delete'
  | 'deactivate'
  | 'reactivate'
  | 'addTag'
  | 'removeTag'
>

export function imageCalls(api: Api, calls: Calls): ImageCalls {
  const show: GlanceClient['show'] = (imageId, options = {}) =>
    aboutImage(imageId, () => showImage(api, imageId, options))
  const patch: GlanceClient['patch'] = async (imageId, body, options) =>
    readImage(await calls.about(imageId, { method: 'PATCH', body, contentType: patchType }, options))
  const act = async (imageId: string, action: string, options?: GlanceCallOptions): Promise<void> =>
    void (await calls.about(imageId, { method: 'POST', retryable: true }, options, `/actions/${action}`))
  const tagged = (tag: string): string => `/tags/${encodeURIComponent(tag)}`
  return {
    list: (options = {}) => translated(listImages(api, options)),
    show,
    create: async (body, { context, signal } = {}) => {
      try {
        return readImage(await api.call({ method: 'POST', path: '/v2/images', body, context, signal }))
      } catch (error) {
        throw fieldError(error)
      }
    },
    patch,
    update: async (imageId, fields, options = {}) => {
      const present = options.present ?? (await show(imageId, options))
      const patches = patchesFor(present, fields, options.remove ?? [])
      return patches.length === 0 ? present : patch(imageId, patches, options)
    },
    delete: (imageId, options) => deleteImage(api, imageId, options),
    deactivate: (imageId, options) => act(imageId, 'deactivate', options),
    reactivate: (imageId, options) => act(imageId, 'reactivate', options),
    addTag: async (imageId, tag, options) =>
      void (await calls.about(imageId, { method: 'PUT' }, options, tagged(tag))),
    removeTag: async (imageId, tag, options) =>
      void (await calls.about(imageId, { method: 'DELETE' }, options, tagged(tag))),
  }
}

/** @throws {InvalidError} where the id is none */
function pathOf(imageId: string, suffix = ''): string {
  checkImageId(imageId)
  return `/v2/images/${encodeURIComponent(imageId)}${suffix}`
}

export async function showImage(
  api: Api,
  imageId: string,
  options: GlanceCallOptions,
  retries?: number,
): Promise<GlanceImage> {
  const { context, signal } = options
  const path = pathOf(imageId)
  return readImage(await api.call({ method: 'GET', path, context, signal, retries }))
}

/** A delete that is retried because its answer was lost may find the image gone: that is a success. */
async function deleteImage(api: Api, imageId: string, options: GlanceCallOptions = {}): Promise<void> {
  const { context, signal } = options
  const call: ApiCall = { method: 'DELETE', path: pathOf(imageId), context, signal, goneIsDone: true }
  try {
    await api.call(call)
  } catch (error) {
    // Why an image can't be deleted (protected, in use) is in the service's words only.
    const gone = error instanceof GlanceHttpError && error.status === 404
    throw gone ? new ImageNotFoundError({ imageId, detail: error.message, cause: error }) : error
  }
}

/** The smallest patch that gives an image the fields. */
function patchesFor(
  present: GlanceImage,
  fields: Readonly<Record<string, unknown>>,
  remove: readonly string[],
): ImagePatch[] {
  const patches: ImagePatch[] = []
  for (const [name, value] of Object.entries(fields)) {
    const path = `/${escapePointer(name)}`
    const same = JSON.stringify(present[name]) === JSON.stringify(value)
    if (value !== undefined && !same)
      patches.push({ op: Object.hasOwn(present, name) ? 'replace' : 'add', path, value })
  }
  for (const name of remove) {
    if (Object.hasOwn(present, name)) patches.push({ op: 'remove', path: `/${escapePointer(name)}` })
  }
  return patches
}

/** @see https://www.rfc-editor.org/rfc/rfc6901#section-3 */
function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

async function* translated(images: AsyncGenerator<GlanceImage>): AsyncGenerator<GlanceImage> {
  try {
    yield* images
  } catch (error) {
    throw plainError(error)
  }
}

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
