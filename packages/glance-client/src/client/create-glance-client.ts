import { checkImageId, MiB } from '@disk-image/core'
import type { ByteSink, DownloadReport, ImageMember, ImageStore } from '@disk-image/core'
import { createConnectionPool, createHttp, ownConnections, readRange } from '@disk-image/http'
import { BufferPool, Channel, HashPool, toNodeHashName } from '@disk-image/io'
import { aboutImage } from '../api/answer-errors.ts'
import { maximumBytes, readList, readLocations } from '../api/answers.ts'
import type { GlanceImage } from '../api/answers.ts'
import { Api } from '../api/api.ts'
import { dataOrigin } from '../data/data-channel.ts'
import type { DataChannelOptions } from '../data/data-channel.ts'
import { download } from '../data/download.ts'
import type { GlanceDownloadOptions } from '../data/download.ts'
import { upload } from '../data/upload.ts'
import { GlanceAnswerError, GlanceHttpError } from '../errors.ts'
import { fixedSession, withEndpoints } from '../session/session.ts'
import { resolveClientOptions } from './client-options.ts'
import type { GlanceClientOptions } from './client-options.ts'
import type { ApiVersion, GlanceCallOptions, GlanceClient, ImageTask } from './client-types.ts'
import { Calls, imageCalls, showImage } from './image-calls.ts'
import type { ImageCalls } from './image-calls.ts'
import { waitForImport } from './wait-for-import.ts'

/**
 * A client of the Image API v2.
 *
 * @throws {InvalidError} where an option is wrong
 */
export function createGlanceClient(options: GlanceClientOptions): GlanceClient {
  const resolved = resolveClientOptions(options)
  const { session, endpoints, retries, logger, timeouts, tls, proxy } = resolved
  const connections = createConnectionPool()
  const hashPool = new HashPool()
  const buffers = new BufferPool({ bufferBytes: MiB })
  const http = createHttp(timeouts, ownConnections(timeouts, { tls, proxy }, connections))
  const api = new Api({
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
    hashPool,
    buffers,
    logger,
    retries,
    waitMs: (attempt, retryAfterMs) => api.waitMs(attempt, retryAfterMs),
    show: (imageId, { retries: most, ...call }) =>
      aboutImage(imageId, () => showImage(api, imageId, call, most)),
  }
  return createCalls(api, channel, async () => {
    buffers.close()
    await Promise.all([http.close(), hashPool.close()])
  })
}

function createCalls(api: Api, channel: DataChannelOptions, close: () => Promise<void>): GlanceClient {
  const calls = new Calls(api)
  const images = imageCalls(api, calls)
  const imports = importCalls(channel, calls)
  const client: GlanceClient = {
    versions: async (options) =>
      readList<ApiVersion>(await calls.send({ method: 'GET', path: '/versions' }, options), 'versions', [
        'id',
      ]),
    schema: (name, options) => {
      const path = `/v2/schemas/${encodeURIComponent(name)}`
      return calls.object({ method: 'GET', path, maximumBytes: maximumBytes.schema }, options)
    },
    usage: (options) => calls.object({ method: 'GET', path: '/v2/info/usage' }, options),
    ...images,
    ...memberCalls(calls),
    ...placeCalls(api, calls, images),
    ...imports,
    waitForImport: (imageId, options = {}) =>
      waitForImport({ show: images.show, tasks: imports.tasks }, imageId, options),
    ...dataCalls(api, channel),
    close,
    [Symbol.asyncDispose]: close,
  }
  return Object.freeze(client)
}

function memberCalls(
  calls: Calls,
): Pick<GlanceClient, 'listMembers' | 'addMember' | 'updateMember' | 'removeMember'> {
  const member = (memberId: string): string => `/members/${encodeURIComponent(memberId)}`
  return {
    listMembers: async (imageId, options) =>
      readList<ImageMember>(
        await calls.about(imageId, { method: 'GET', maximumBytes: maximumBytes.list }, options, '/members'),
        'members',
        ['member_id'],
      ),
    addMember: (imageId, memberId, options) =>
      calls.objectAbout(imageId, { method: 'POST', body: { member: memberId } }, options, '/members'),
    updateMember: (imageId, memberId, status, options) =>
      calls.objectAbout(imageId, { method: 'PUT', body: { status } }, options, member(memberId)),
    removeMember: async (imageId, memberId, options) =>
      void (await calls.about(imageId, { method: 'DELETE' }, options, member(memberId))),
  }
}

/** Where images are: in which stores, at which locations. */
function placeCalls(
  api: Api,
  calls: Calls,
  { patch }: ImageCalls,
): Pick<
  GlanceClient,
  'getStores' | 'deleteFromStore' | 'listLocations' | 'addImageLocation' | 'addLocation'
> {
  return {
    getStores: async (options) => {
      const path = `/v2/info/stores${options?.detail === true ? '/detail' : ''}`
      const answer = await calls.send({ method: 'GET', path }, options)
      return { stores: readList<ImageStore>(answer, 'stores', ['id']) }
    },
    deleteFromStore: (imageId, storeId, options = {}) =>
      aboutImage(imageId, async () => {
        checkImageId(imageId)
        const path = `/v2/stores/${encodeURIComponent(storeId)}/${encodeURIComponent(imageId)}`
        await api.call({ method: 'DELETE', path, context: options.context, signal: options.signal })
      }),
    listLocations: async (imageId, options) =>
      readLocations(await calls.about(imageId, { method: 'GET' }, options, '/locations')),
    addImageLocation: async (imageId, url, validationData, options) => {
      const body = validationData === undefined ? { url } : { url, validation_data: validationData }
      await calls.about(imageId, { method: 'POST', body }, options, '/locations')
    },
    addLocation: (imageId, url, metadata, options) =>
      patch(imageId, [{ op: 'add', path: '/locations/-', value: { url, metadata } }], options),
  }
}

function importCalls(
  channel: DataChannelOptions,
  calls: Calls,
): Pick<GlanceClient, 'importInfo' | 'stage' | 'import' | 'tasks'> {
  return {
    importInfo: (options) => calls.object({ method: 'GET', path: '/v2/info/import' }, options),
    stage: async (imageId, source, options = {}) => {
      checkImageId(imageId)
      return upload(channel, imageId, source, { ...options, target: 'stage' }, 'sha512')
    },
    import: async (imageId, body, options) =>
      void (await calls.about(imageId, { method: 'POST', body }, options, '/import')),
    tasks: async (imageId, options) =>
      readList<ImageTask>(await calls.about(imageId, { method: 'GET' }, options, '/tasks'), 'tasks', ['id']),
  }
}

function dataCalls(
  api: Api,
  channel: DataChannelOptions,
): Pick<GlanceClient, 'prepareDownload' | 'download' | 'read' | 'readRange' | 'upload'> {
  /** The hash that this cloud computes, once one of its images has told. */
  let hashAlgorithm: string | undefined
  const fetch: GlanceClient['download'] = (imageId, sink, options = {}) =>
    download(channel, imageId, sink, options)
  return {
    prepareDownload: () => channel.hashPool.warm(),
    download: fetch,
    read: (imageId, options = {}) => readThroughSink((sink, all) => fetch(imageId, sink, all), options),
    readRange: async (imageId, offset, length, options = {}) => {
      checkImageId(imageId)
      return readRange(dataOrigin(channel, { id: imageId }, options), offset, length, options, channel)
    },
    upload: async (imageId, source, options = {}) => {
      checkImageId(imageId)
      if (options.verify === 'none') return upload(channel, imageId, source, options, undefined)
      hashAlgorithm ??= await findHashAlgorithm(api, options)
      return upload(channel, imageId, source, options, hashAlgorithm)
    },
  }
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

/** Spreads many clients over the endpoints. */
function shuffled(endpoints: readonly string[]): readonly string[] {
  return endpoints
    .map((url) => ({ url, place: Math.random() }))
    .sort((left, right) => left.place - right.place)
    .map(({ url }) => url)
}

/**
 * A download as an iterable: the sink waits until its chunk was read. Leaving the loop ends the download.
 */
async function* readThroughSink(
  run: (sink: ByteSink, options: GlanceDownloadOptions) => Promise<DownloadReport>,
  options: GlanceDownloadOptions,
): AsyncGenerator<Uint8Array> {
  const left = new AbortController()
  const signal = options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal])
  const channel = new Channel()
  const finished = run(channel, { ...options, signal }).then(
    () => channel.end(),
    (error: unknown) => channel.end(error ?? new Error('The download failed')),
  )
  try {
    // Whoever reads may keep what he gets.
    for await (const bytes of channel) yield Uint8Array.from(bytes)
  } finally {
    left.abort(new Error('The reader left'))
    await finished
  }
}
