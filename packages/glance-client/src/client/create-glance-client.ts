import { checkImageId, ImageNotFoundError } from '@disk-image/core'
import type { ImageMember, ImageStore } from '@disk-image/core'
import { createByteThreads, createSlotPool, toNodeHashName } from '@disk-image/io'
import { aboutImage, fieldError, plainError } from '../api/answer-errors.ts'
import { maximumBytes, readImage, readList, readLocations } from '../api/answers.ts'
import type { GlanceImage } from '../api/answers.ts'
import { createApi } from '../api/api.ts'
import type { Api, ApiCall } from '../api/api.ts'
import type { DataChannelOptions } from '../data/data-channel.ts'
import { download } from '../data/download.ts'
import { readThroughSink } from '../data/read-images.ts'
import { readRange } from '../data/read-range.ts'
import { upload } from '../data/upload.ts'
import { GlanceAnswerError, GlanceHttpError } from '../errors.ts'
import { fixedSession, withEndpoints } from '../session/session.ts'
import { createConnectionPool } from '../transport/connection-pool.ts'
import { createHttp, ownConnections } from '../transport/http.ts'
import type { HttpResponse } from '../transport/http.ts'
import { readObject } from '../transport/read-json.ts'
import { resolveClientOptions } from './client-options.ts'
import type { GlanceClientOptions } from './client-options.ts'
import type { ApiVersion, GlanceCallOptions, GlanceClient, ImagePatch, ImageTask } from './client-types.ts'
import { listImages } from './list-images.ts'
import { waitForImport } from './wait-for-import.ts'

/** How Glance wants a JSON patch announced. */
const patchType = 'application/openstack-images-v2.1-json-patch'

/**
 * A client of the Image API v2.
 *
 * @throws {InvalidError} where an option is wrong
 */
export function createGlanceClient(options: GlanceClientOptions): GlanceClient {
  const resolved = resolveClientOptions(options)
  const { session, endpoints, retries, logger, timeouts, tls, proxy } = resolved
  const connections = createConnectionPool()
  const threads = createByteThreads()
  const memory = createSlotPool()
  const http = createHttp(timeouts, ownConnections(timeouts, { tls, proxy }, connections))
  const api = createApi({
    ...resolved,
    http,
    serviceType: 'image',
    session:
      session === undefined
        ? fixedSession(endpoints)
        : endpoints.length === 0
          ? session
          : withEndpoints(session, endpoints),
    shuffle: resolved.shuffle ? shuffled : (list) => list,
  })
  const channel: DataChannelOptions = {
    api,
    timeouts,
    tls,
    proxy,
    connections,
    threads,
    memory,
    logger,
    retries,
    show: (imageId, { retries: most, ...call }) =>
      aboutImage(imageId, () => showImage(api, imageId, call, most)),
  }
  return createCalls(api, channel, async () => {
    memory.close()
    await Promise.all([http.close(), threads.close()])
  })
}

function createCalls(api: Api, channel: DataChannelOptions, close: () => Promise<void>): GlanceClient {
  /** The hash that this cloud computes, once one of its images has told. */
  let hashAlgorithm: string | undefined
  const learnHash = async (options: GlanceCallOptions): Promise<string | undefined> => {
    hashAlgorithm ??= await findHashAlgorithm(api, options)
    return hashAlgorithm
  }
  const send = async (call: ApiCall, options: GlanceCallOptions = {}): Promise<HttpResponse> => {
    try {
      return await api.call({ ...call, context: options.context, signal: options.signal })
    } catch (error) {
      throw plainError(error)
    }
  }
  const object = async <T>(call: ApiCall, options?: GlanceCallOptions): Promise<T> =>
    readObject<T>(await send(call, options))
  const image = async (
    imageId: string,
    call: Omit<ApiCall, 'path'>,
    options: GlanceCallOptions = {},
    suffix = '',
  ): Promise<HttpResponse> =>
    aboutImage(imageId, () =>
      api.call({ ...call, path: pathOf(imageId, suffix), context: options.context, signal: options.signal }),
    )
  const imageObject = async <T>(
    imageId: string,
    call: Omit<ApiCall, 'path'>,
    options?: GlanceCallOptions,
    suffix = '',
  ): Promise<T> => readObject<T>(await image(imageId, call, options, suffix))
  const member = (memberId: string): string => `/members/${encodeURIComponent(memberId)}`

  const client: GlanceClient = {
    versions: async (options) =>
      readList<ApiVersion>(await send({ method: 'GET', path: '/versions' }, options), 'versions', ['id']),
    schema: (name, options) => {
      const path = `/v2/schemas/${encodeURIComponent(name)}`
      return object({ method: 'GET', path, maximumBytes: maximumBytes.schema }, options)
    },

    list: (options = {}) => translated(listImages(api, options)),
    show: (imageId, options = {}) => aboutImage(imageId, () => showImage(api, imageId, options)),
    create: async (fields, { context, signal } = {}) => {
      const path = '/v2/images'
      try {
        return readImage(await api.call({ method: 'POST', path, body: fields, context, signal }))
      } catch (error) {
        throw fieldError(error)
      }
    },
    patch: async (imageId, patches, options) =>
      readImage(await image(imageId, { method: 'PATCH', body: patches, contentType: patchType }, options)),
    update: async (imageId, fields, options = {}) => {
      const present = options.present ?? (await client.show(imageId, options))
      const patches = patchesFor(present, fields, options.remove ?? [])
      return patches.length === 0 ? present : client.patch(imageId, patches, options)
    },
    delete: (imageId, options) => deleteImage(api, imageId, options),
    deactivate: async (imageId, options) =>
      void (await image(imageId, { method: 'POST', retryable: true }, options, '/actions/deactivate')),
    reactivate: async (imageId, options) =>
      void (await image(imageId, { method: 'POST', retryable: true }, options, '/actions/reactivate')),

    addTag: async (imageId, tag, options) =>
      void (await image(imageId, { method: 'PUT' }, options, `/tags/${encodeURIComponent(tag)}`)),
    removeTag: async (imageId, tag, options) =>
      void (await image(imageId, { method: 'DELETE' }, options, `/tags/${encodeURIComponent(tag)}`)),

    listMembers: async (imageId, options) =>
      readList<ImageMember>(
        await image(imageId, { method: 'GET', maximumBytes: maximumBytes.list }, options, '/members'),
        'members',
        ['member_id'],
      ),
    addMember: (imageId, memberId, options) =>
      imageObject(imageId, { method: 'POST', body: { member: memberId } }, options, '/members'),
    updateMember: (imageId, memberId, status, options) =>
      imageObject(imageId, { method: 'PUT', body: { status } }, options, member(memberId)),
    removeMember: async (imageId, memberId, options) =>
      void (await image(imageId, { method: 'DELETE' }, options, member(memberId))),

    getStores: async (options) => {
      const path = `/v2/info/stores${options?.detail === true ? '/detail' : ''}`
      return { stores: readList<ImageStore>(await send({ method: 'GET', path }, options), 'stores', ['id']) }
    },
    deleteFromStore: (imageId, storeId, options = {}) =>
      aboutImage(imageId, async () => {
        checkImageId(imageId)
        const path = `/v2/stores/${encodeURIComponent(storeId)}/${encodeURIComponent(imageId)}`
        await api.call({ method: 'DELETE', path, context: options.context, signal: options.signal })
      }),

    importInfo: (options) => object({ method: 'GET', path: '/v2/info/import' }, options),
    usage: (options) => object({ method: 'GET', path: '/v2/info/usage' }, options),
    stage: async (imageId, source, options = {}) => {
      checkImageId(imageId)
      return upload(channel, imageId, source, { ...options, target: 'stage' }, 'sha512')
    },
    import: async (imageId, request, options) =>
      void (await image(imageId, { method: 'POST', body: request }, options, '/import')),
    waitForImport: (imageId, options = {}) => waitForImport(client, imageId, options),
    tasks: async (imageId, options) =>
      readList<ImageTask>(await image(imageId, { method: 'GET' }, options, '/tasks'), 'tasks', ['id']),

    listLocations: async (imageId, options) =>
      readLocations(await image(imageId, { method: 'GET' }, options, '/locations')),
    addImageLocation: async (imageId, url, validationData, options) => {
      const body = validationData === undefined ? { url } : { url, validation_data: validationData }
      await image(imageId, { method: 'POST', body }, options, '/locations')
    },
    addLocation: (imageId, url, metadata, options) =>
      client.patch(imageId, [{ op: 'add', path: '/locations/-', value: { url, metadata } }], options),

    prepareDownload: () => channel.threads.warm(),
    download: (imageId, sink, options = {}) => download(channel, imageId, sink, options),
    read: (imageId, options = {}) =>
      readThroughSink((sink, all) => download(channel, imageId, sink, all), options),
    readRange: (imageId, offset, length, options = {}) =>
      readRange(channel, imageId, offset, length, options),
    upload: async (imageId, source, options = {}) => {
      checkImageId(imageId)
      const algorithm = options.verify === 'none' ? undefined : await learnHash(options)
      return upload(channel, imageId, source, options, algorithm)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
  return Object.freeze(client)
}

/** @throws {InvalidError} where the id is none */
function pathOf(imageId: string, suffix = ''): string {
  checkImageId(imageId)
  return `/v2/images/${encodeURIComponent(imageId)}${suffix}`
}

async function showImage(
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

async function findHashAlgorithm(api: Api, options: GlanceCallOptions): Promise<string | undefined> {
  const query = [
    ['limit', '1'],
    ['status', 'active'],
    ['sort', 'created_at:desc'],
  ] as const
  try {
    const { context, signal } = options
    const answer = await api.call({ method: 'GET', path: '/v2/images', query, context, signal })
    const [image] = readList<GlanceImage>(answer, 'images', [])
    const name = image?.os_hash_algo
    return typeof name === 'string' && toNodeHashName(name) !== undefined ? name : undefined
  } catch (error) {
    // An account that may not list can still upload.
    if (error instanceof GlanceHttpError || error instanceof GlanceAnswerError) return undefined
    throw error
  }
}

async function* translated(images: AsyncGenerator<GlanceImage>): AsyncGenerator<GlanceImage> {
  try {
    yield* images
  } catch (error) {
    throw plainError(error)
  }
}

/** Spreads many clients over the endpoints. */
function shuffled(endpoints: readonly string[]): readonly string[] {
  return endpoints
    .map((url) => ({ url, place: Math.random() }))
    .sort((left, right) => left.place - right.place)
    .map(({ url }) => url)
}
