import path from 'node:path'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { pathToFileURL } from 'node:url'
import { createGlanceClient, createGlanceImageService, getApiServers } from '@disk-image/glance-client'
import { afterEach, beforeEach, expect, it } from 'vitest'

/**
 * A stand-in for a Glance of 2024.2 or later, with the locations API and its policies: the packaged one of Debian has
 * neither. A user's own images are the only ones that it may see; `service` gets locations of every image.
 */
const own = '11111111-1111-4111-8111-111111111111'
const foreign = '22222222-2222-4222-8222-222222222222'

let server: Server
let endpoint: string
let asked: string[]

function answer(request: IncomingMessage, response: ServerResponse): void {
  const token = request.headers['x-auth-token'] ?? 'none'
  const { pathname } = new URL(request.url ?? '', 'http://glance')
  asked.push(`${request.method} ${pathname.replace('/v2/images/', '')} as ${String(token)}`)
  const send = (status: number, body: unknown): void => {
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
  }
  const id = pathname.split('/')[3] ?? ''
  if (pathname === '/v2/schemas/image') return send(200, { properties: {} })
  if (token !== 'service' && id === foreign) return send(404, { message: 'not found' })
  if (pathname.endsWith('/locations')) {
    if (token !== 'service') return send(403, { message: 'needs the role service' })
    return request.method === 'POST'
      ? send(202, {})
      : send(200, [{ url: 'rbd://a', metadata: { store: 's' } }, 5, null])
  }
  return send(200, { id, status: 'active', direct_url: 'file:///seen', locations: [{ url: 'file:///seen' }] })
}

beforeEach(async () => {
  asked = []
  server = createServer((request, response) => {
    request.resume().on('end', () => answer(request, response))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const user = { authToken: 'user', userId: 'u', projectId: 'p' }

it('locations are asked for by the account that may have them', async () => {
  await using locationClient = createGlanceClient({
    endpoint,
    requestHeaders: () => ({ 'X-Auth-Token': 'service' }),
  })
  await using service = createGlanceImageService({ endpoint }, { locationClient })
  expect(await service.getLocation(user, own)).toEqual({
    directUrl: 'rbd://a',
    locations: [{ url: 'rbd://a', metadata: { store: 's' } }],
  })
  await service.addLocation(user, own, 'rbd://b', {})
  expect(asked).toContain(`GET ${own}/locations as service`)
  expect(asked).toContain(`POST ${own}/locations as service`)
  expect(asked).toContain(`GET ${own} as user`)
})

it('nobody gets the locations of an image that is not theirs through that account', async () => {
  await using locationClient = createGlanceClient({
    endpoint,
    requestHeaders: () => ({ 'X-Auth-Token': 'service' }),
  })
  await using service = createGlanceImageService({ endpoint }, { locationClient })
  await expect(service.getLocation(user, foreign)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
  await expect(service.addLocation(user, foreign, 'rbd://b', {})).rejects.toMatchObject({
    code: 'IMAGE_NOT_FOUND',
  })
  expect(asked.filter((line) => line.includes('service'))).toEqual([])
})

it('without it the record is read, and the log says what is missing', async () => {
  const warned: unknown[] = []
  const ignore = (): void => undefined
  const logger = {
    debug: ignore,
    info: ignore,
    error: ignore,
    warn: (_text: string, fields?: object) => void warned.push(fields),
  }
  await using service = createGlanceImageService({ endpoint, logger })
  expect(await service.getLocation(user, own)).toEqual({
    directUrl: 'file:///seen',
    locations: [{ url: 'file:///seen', metadata: {} }],
  })
  expect(warned).toEqual([expect.objectContaining({ status: 403 })])
})

it('a file is read directly where only direct_url names it', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'direct-url-'))
  const data = Buffer.from('the bytes of a disk')
  await writeFile(path.join(folder, 'image'), data)
  const asked: string[] = []
  const glance = createServer((request, response) => {
    asked.push(request.url ?? '')
    const image = {
      id: own,
      status: 'active',
      size: data.length,
      os_hash_algo: 'sha256',
      os_hash_value: createHash('sha256').update(data).digest('hex'),
      direct_url: pathToFileURL(path.join(folder, 'image')).href,
    }
    const missing = request.url?.endsWith('/locations') === true
    response.writeHead(missing ? 404 : 200).end(JSON.stringify(missing ? {} : image))
  })
  await new Promise<void>((resolve) => {
    glance.listen(0, '127.0.0.1', resolve)
  })
  try {
    const url = `http://127.0.0.1:${(glance.address() as AddressInfo).port}`
    const direct = { allowedDirectUrlSchemes: ['file'], directUrlRoots: [folder] }
    await using service = createGlanceImageService({ endpoint: url }, direct)
    const parts: Buffer[] = []
    const sink = { write: (bytes: Uint8Array) => void parts.push(Buffer.from(bytes)) }
    const report = await service.download(user, own, sink)
    expect(Buffer.concat(parts).equals(data)).toBe(true)
    expect(report.hash?.verified).toBe(true)
    expect(asked.filter((one) => one.endsWith('/file'))).toEqual([])
  } finally {
    glance.closeAllConnections()
    glance.close()
    await rm(folder, { recursive: true })
  }
})

it('the stores to read from are named in their order, on every connection', async () => {
  const paths: string[] = []
  const data = Buffer.alloc(40 * 1024 * 1024, 7)
  const glance = createServer((request, response) => {
    paths.push(request.url ?? '')
    const [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? []
    if (from === undefined) {
      response.writeHead(200, { 'Content-Length': data.length }).end(data)
      return
    }
    const end = to === '' ? data.length - 1 : Number(to)
    response
      .writeHead(206, { 'Content-Range': `bytes ${from}-${end}/${data.length}` })
      .end(data.subarray(Number(from), end + 1))
  })
  await new Promise<void>((resolve) => {
    glance.listen(0, '127.0.0.1', resolve)
  })
  try {
    const url = `http://127.0.0.1:${(glance.address() as AddressInfo).port}`
    await using client = createGlanceClient({ endpoint: url })
    const image = { id: own, status: 'active', size: data.length, os_hash_value: null, checksum: null }
    const download = async (
      preferStores: string[] | undefined,
      connections: number,
    ): Promise<Set<string>> => {
      paths.length = 0
      await client.download(
        own,
        { write: () => undefined },
        { image, verify: 'none', preferStores, connections },
      )
      return new Set(paths.map((one) => one.split('/file')[1] ?? ''))
    }
    expect(await download(['near', 'far&x=,'], 1)).toEqual(new Set(['?prefer=near,far%26x%3D%2C']))
    expect(await download(['near'], 3)).toEqual(new Set(['?prefer=near']))
    expect(await download([], 1)).toEqual(new Set(['']))
    expect(await download(undefined, 3)).toEqual(new Set(['']))
  } finally {
    glance.closeAllConnections()
    glance.close()
  }
})

it('a record without a hash leaves the MD5 that comes with the data', async () => {
  const data = Buffer.from('the bytes of a disk')
  const md5 = createHash('md5').update(data)
  const hex = md5.copy().digest('hex')
  let given: string | undefined
  const glance = createServer((request, response) => {
    const image = { id: own, status: 'active', size: data.length, os_hash_value: null, checksum: null }
    const headers = given === undefined ? {} : { 'Content-MD5': given }
    if (request.url?.endsWith('/file') === true) response.writeHead(200, headers).end(data)
    else response.end(JSON.stringify(image))
  })
  await new Promise<void>((resolve) => {
    glance.listen(0, '127.0.0.1', resolve)
  })
  try {
    const url = `http://127.0.0.1:${(glance.address() as AddressInfo).port}`
    await using client = createGlanceClient({ endpoint: url, retries: 0 })
    const download = async (): Promise<unknown> =>
      (await client.download(own, { write: () => undefined })).hash
    for (given of [hex, hex.toUpperCase(), md5.copy().digest('base64')]) {
      expect(await download()).toEqual({ algorithm: 'md5', value: hex, verified: true })
    }
    for (given of ['0'.repeat(32), 'wrong', hex.slice(1)]) {
      await expect(download()).rejects.toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED', partial: true })
    }
    given = undefined
    expect(await download()).toMatchObject({ algorithm: 'sha512', verified: false })
    // A strict download wants a strong hash, before it takes anything.
    given = hex
    const strict = client.download(own, { write: () => undefined }, { verify: 'strict' })
    await expect(strict).rejects.toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED', partial: false })
  } finally {
    glance.closeAllConnections()
    glance.close()
  }
})

it('an API server is of the region that is named', () => {
  const endpoints = [
    { region: 'one', publicURL: 'http://one:9292' },
    { region: 'two', publicURL: 'https://two/image' },
  ]
  const serviceCatalog = [{ type: 'image', endpoints }]
  const netlocs = (regionName?: string): string[] =>
    getApiServers({ serviceCatalog, regionName }).map(({ netloc }) => netloc)
  expect([netlocs(), netlocs('two'), netlocs('three')]).toEqual([['one:9292'], ['two/image'], ['one:9292']])
  expect(getApiServers({ serviceCatalog: [{ type: 'image', endpoints: [] }], regionName: 'two' })).toEqual([])
})
