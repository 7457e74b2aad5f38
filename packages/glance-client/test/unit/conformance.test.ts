import path from 'node:path'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { ImageError } from '@disk-image/core'
import type { ImageService, RequestContext } from '@disk-image/core'
import {
  createGlanceImageService,
  getApiServers,
  getRemoteImageService,
  GlanceHttpError,
  validateStoreId,
} from '@disk-image/glance-client'
import { parseImageReference } from '../../src/service/image-reference.ts'
import { isImageAvailable } from '../../src/service/is-image-available.ts'
import { translateFromGlance, translateToGlance } from '../../src/service/translate.ts'
import { certificatesFrom, verifyImageSignature } from '@disk-image/glance-client/signature'
import { describe, expect, it } from 'vitest'
import { schemaOf, vectorsOf } from './vectors.ts'
import type { Vector } from './vectors.ts'

function contextOf(fields: unknown): RequestContext {
  const { user_id, project_id, auth_token, is_admin } = (fields ?? {}) as Record<string, never>
  return { userId: user_id, projectId: project_id, authToken: auth_token, isAdmin: is_admin ?? false }
}

/** How the call ended, and how the vector says that it ends. */
async function outcome(vector: Vector, call: () => unknown): Promise<{ actual: object; expected: object }> {
  const { returns, throws, message, incidental } = vector.expect
  // The text of a service's error is told with the request here.
  const sameText =
    throws !== undefined && !/^(?:HTTP.*|CommunicationError|Invalid|NotFound|NotAuthorized)$/.test(throws)
  const failure = incidental === true ? { throws: true } : { throws, ...(sameText ? { message } : {}) }
  const expected = throws === undefined ? { returns: returns ?? null } : failure
  try {
    return { actual: { returns: (await call()) ?? null }, expected }
  } catch (error) {
    if (throws === undefined) throw error
    // What the service said stands behind the original's sentence.
    const { message: told, cause } = error as Error
    const said = cause instanceof GlanceHttpError ? ` ${cause.message}` : ''
    const text = sameText
      ? { message: told.endsWith(said) ? told.slice(0, told.length - said.length) : told }
      : {}
    return { actual: incidental === true ? { throws: true } : { throws: nameOf(error), ...text }, expected }
  }
}

/** What the original calls an error. */
function nameOf(error: unknown): string {
  if (!ImageError.is(error)) return (error as Error).name
  const { status } = error as ImageError & { status?: number }
  if (error.name === 'GlanceHttpError' && status !== undefined) {
    const http: Record<number, string> = {
      400: 'HTTPBadRequest',
      401: 'HTTPUnauthorized',
      403: 'HTTPForbidden',
      404: 'HTTPNotFound',
      409: 'HTTPConflict',
    }
    return http[status] ?? `HTTP${status}`
  }
  const renamed: Record<string, string> = {
    InvalidImageReferenceError: 'InvalidImageRef',
    ImageSignatureVerificationError: 'ImageSignatureVerificationException',
    GlanceConnectionFailedError: 'CommunicationError',
  }
  return renamed[error.name] ?? error.name.replace(/Error$/, '')
}

describe('recorded calls of the original', () => {
  it.each(vectorsOf('GlanceImageService._translate_from_glance'))('$id', async (vector) => {
    const { actual, expected } = await outcome(vector, () => {
      const image = vector.args[0] as Record<string, unknown>
      const result = translateFromGlance(image, schemaOf(vector)) as unknown as Record<string, unknown>
      // Dates hold milliseconds.
      return JSON.parse(JSON.stringify(result, plain), revivePlain) as unknown
    })
    expect(actual).toEqual(expected)
  })

  it.each(vectorsOf('GlanceImageService._translate_to_glance'))('$id', async (vector) => {
    const { actual, expected } = await outcome(vector, () =>
      translateToGlance(vector.args[0] as Record<string, never>),
    )
    expect(actual).toEqual(expected)
  })

  it.each(vectorsOf('GlanceImageService._is_image_available'))('$id', async (vector) => {
    const [context, image] = vector.args as [unknown, Record<string, unknown>]
    if (vector.expect.incidental === true) return
    const members = vector.fake['image_members'] as []
    expect(await isImageAvailable(contextOf(context), image, () => Promise.resolve(members))).toBe(
      vector.expect.returns,
    )
  })

  it.each(vectorsOf('_parse_image_ref'))('$id', async (vector) => {
    const { actual, expected } = await outcome(vector, () => {
      const { imageId, netloc, useSsl } = parseImageReference(vector.args[0] as string)
      return [imageId, netloc, useSsl]
    })
    expect(actual).toEqual(expected)
  })

  it.each(vectorsOf('get_remote_image_service'))('$id', async (vector) => {
    const { actual, expected } = await outcome(vector, () => {
      let client: unknown
      const own = {} as ImageService
      const { imageService, imageId } = getRemoteImageService(
        vector.args[0] as string,
        own,
        (netloc, useSsl) => {
          client = [netloc, useSsl]
          return {} as ImageService
        },
      )
      return imageService === own
        ? { image_id: imageId, default_service: true }
        : { image_id: imageId, client }
    })
    expect(actual).toEqual(expected)
  })

  it.each(vectorsOf('get_api_servers'))('$id', async (vector) => {
    const { actual, expected } = await outcome(vector, () =>
      getApiServers({
        glanceApiServers: vector.config['glance_api_servers'] as string[] | null,
        glanceCatalogInfo: vector.config['glance_catalog_info'] as string,
        serviceCatalog: vector.fake['service_catalog'] as [],
      }).map(({ netloc, useSsl }) => [netloc, useSsl]),
    )
    expect(actual).toEqual(expected)
  })

  it.each(vectorsOf('validate_stores_id').filter(({ fake }) => fake['get_stores'] !== undefined))(
    '$id',
    async (vector) => {
      const service = { getStores: () => Promise.resolve(vector.fake['get_stores'] as { stores: [] }) }
      const { actual, expected } = await outcome(vector, () =>
        validateStoreId({}, service, vector.args[1] as string),
      )
      expect(actual).toEqual(expected)
    },
  )

  const signed = vectorsOf('verify_glance_image_signature')
  it.each(
    signed.filter(
      ({ id, fake }) =>
        id.startsWith('sig-meta') ||
        id === 'sig-all-null' ||
        id === 'sig-one-null' ||
        fake['certificate_pem'] !== undefined,
    ),
  )('$id', async (vector) => {
    const image = vector.fake['show'] as { id: string; properties: Record<string, string> }
    const pem = vector.fake['certificate_pem'] as string
    async function* content(): AsyncGenerator<Uint8Array> {
      yield vector.fake['content'] as Buffer
    }
    const verify = (): Promise<boolean> =>
      verifyImageSignature(
        {},
        image,
        content(),
        certificatesFrom(() => pem),
        { inPlace: true },
      )
    // A signature that is not ASCII fails as every other malformed one.
    const malformed = {
      throws: 'ImageSignatureVerificationException',
      message: `Failed to verify image signature, reason: Failed to get verifier for image: ${image.id}.`,
    }
    const adapted = vector.expect.throws === 'ValueError' ? { ...vector, expect: malformed } : vector
    const { actual, expected } = await outcome(adapted, verify)
    expect(actual).toEqual(expected)
  })
})

function plain(this: Record<string, unknown>, name: string, value: unknown): unknown {
  const raw = this[name]
  if (raw instanceof Date) return { $date: raw.toISOString() }
  return typeof value === 'bigint' ? { $big: String(value) } : value
}

function revivePlain(_: string, value: unknown): unknown {
  const { $date, $big } = (value ?? {}) as { $date?: string; $big?: string }
  if ($date !== undefined) return new Date($date)
  return $big === undefined ? value : BigInt($big)
}

interface Answer {
  readonly throws?: string
  readonly message?: string
  readonly returns?: unknown
}

function answersOf(vector: Vector): Answer[] {
  return [...(vector.fake['client'] as Answer[])]
}

/** A scripted Glance: answers in turn, the schema besides, and what it was asked. */
async function scriptedGlance(
  vector: Vector,
  answers: Answer[] = answersOf(vector),
): Promise<{ url: string; calls: string[]; stop(): Promise<void> }> {
  const calls: string[] = []
  const statuses: Record<string, number> = {
    HTTPNotFound: 404,
    HTTPForbidden: 403,
    HTTPUnauthorized: 401,
    HTTPBadRequest: 400,
    HTTPConflict: 409,
    HTTPNotImplemented: 501,
    ServiceUnavailable: 503,
  }
  const server = createServer((request, response) => {
    const url = request.url ?? ''
    request.resume()
    if (url === '/v2/schemas/image') {
      response.end(JSON.stringify(schemaOf(vector)))
      return
    }
    calls.push(`${request.method} ${url.replace(/\?.*/, '')}`)
    const answer = answers.shift()
    if (answer?.throws === 'CommunicationError' || answer === undefined) {
      request.socket.destroy()
    } else if (answer.throws !== undefined) {
      response.statusCode = statuses[answer.throws] ?? 500
      response.end(JSON.stringify({ message: answer.message ?? '' }))
    } else if (answer.returns === null || answer.returns === undefined) {
      response.statusCode = 204
      response.end()
    } else {
      const { returns } = answer
      const body = Array.isArray(returns)
        ? { images: returns }
        : typeof returns === 'string'
          ? { id: returns }
          : returns
      response.end(JSON.stringify(body))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls, stop }
}

/** How a vector's call is made on our service. */
function callOf(vector: Vector, service: ImageService): () => Promise<unknown> {
  const context = contextOf(vector.fake['context'])
  const [id, metadata] = vector.args as [string, Record<string, unknown>]
  switch (vector.fn.replace('GlanceImageService.', '')) {
    case 'show':
      return () => service.show(context, id)
    case 'detail':
      return () => service.detail(context)
    case 'delete':
      return () => service.delete(context, id)
    case 'get_stores':
      return () => service.getStores(context)
    case 'list_members':
      return () => service.listMembers(context, id)
    case 'create':
      return () => service.create(context, vector.args[0] as Record<string, never>)
    case 'get_location':
      return async () => {
        const { directUrl, locations } = await service.getLocation(context, id)
        return [directUrl, locations]
      }
    case 'update':
      return () => service.update(context, id, metadata)
    default:
      throw new Error(`No way to call ${vector.fn}`)
  }
}

/** Uploads are held against a real Glance: a scripted one has no data to compare afterwards. */
function hasNoUpload(vector: Vector): boolean {
  return vector.expect.client_calls?.[0]?.method !== 'upload'
}

describe('recorded calls of the service', () => {
  const names = ['show', 'detail', 'delete', 'get_stores', 'list_members', 'create', 'update']
  it.each(names.flatMap((name) => vectorsOf(`GlanceImageService.${name}`)).filter(hasNoUpload))(
    '$id',
    async (vector) => {
      const glance = await scriptedGlance(vector)
      const service = createGlanceImageService({ endpoint: glance.url, retries: 0 })
      try {
        const call = callOf(vector, service)
        const { actual, expected } = await outcome(vector, call)
        expect(actual).toEqual(expected)
      } finally {
        await service.close()
        await glance.stop()
      }
    },
  )

  it.each(vectorsOf('GlanceClientWrapper.call'))('$id', async (vector) => {
    const answers = answersOf(vector)
    const one = await scriptedGlance(vector, answers)
    const two = await scriptedGlance(vector, answers)
    const service = createGlanceImageService({
      endpoint: [one.url, two.url],
      shuffleEndpoints: false,
      retryDelayMs: 1,
      retries: vector.config['glance_num_retries'] as number,
    })
    try {
      const end = await service.client.show('x').then(
        () => 'shown',
        (error: unknown) => (error as ImageError).code,
      )
      const codes: Record<string, string> = { HTTPNotFound: 'IMAGE_NOT_FOUND' }
      const { throws, clients = [] } = vector.expect
      expect(end).toBe(throws === undefined ? 'shown' : (codes[throws] ?? 'GLANCE_CONNECTION_FAILED'))
      expect(one.calls.length).toBe(Math.ceil(clients.length / 2))
    } finally {
      await service.close()
      await one.stop()
      await two.stop()
    }
  })

  it('reads a file behind a location only under a root, and as strictly as a download', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'glance-client-direct-'))
    try {
      const file = path.join(directory, 'img')
      await writeFile(file, 'from the file')
      const image = { id: 'i', status: 'active', visibility: 'public', size: 13 }
      const location = { images: undefined, url: `file://${file}`, metadata: {} }
      const base = vectorsOf('GlanceImageService.show')[0]!
      const run = async (roots: string[], record: object): Promise<unknown> => {
        // Locations as a list come bare from the new interface: here the older one is asked.
        const client = [
          { throws: 'HTTPNotFound' },
          { returns: { ...record, locations: [location] } },
          { returns: record },
        ]
        const glance = await scriptedGlance({ ...base, fake: { ...base.fake, client } })
        const service = createGlanceImageService(
          { endpoint: glance.url, retries: 0 },
          { allowedDirectUrlSchemes: ['file'], directUrlRoots: roots },
        )
        const parts: Buffer[] = []
        try {
          await service.download({}, 'i', { write: (bytes) => void parts.push(Buffer.from(bytes)) })
          return Buffer.concat(parts).toString()
        } catch (error) {
          return (error as ImageError).code
        } finally {
          await service.close()
          await glance.stop()
        }
      }
      expect(await run([directory], image)).toBe('from the file')
      expect(await run([directory], { ...image, size: 12 })).toBe('IMAGE_DOWNLOAD_FAILED')
      expect(await run([path.join(directory, 'elsewhere')], image)).not.toBe('from the file')
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})
