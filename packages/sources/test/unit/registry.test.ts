import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ociSource, type OciSourceOptions, pushImage } from '../../src/index.ts'
import { bytesSource, digest, download } from '../helpers/bytes.ts'

/** Answers of a registry that no real one gives: the first route that a request begins with. */
type Routes = Record<string, (request: IncomingMessage, response: ServerResponse) => void>

const servers: Server[] = []
let routes: Routes
let seen: string[]
let host: string
let options: OciSourceOptions & object

async function serve(find: () => Routes): Promise<string> {
  const server = createServer((request, response) => {
    const line = `${request.method} ${request.url}`
    seen.push(`${line} ${request.headers.authorization ?? '-'}`)
    const route = Object.entries(find()).find(([begin]) => line.startsWith(begin))?.[1]
    if (route === undefined) response.writeHead(404).end()
    else route(request, response)
  })
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

beforeEach(async () => {
  routes = {}
  seen = []
  host = await serve(() => routes)
  options = { plainHttp: [host], allow: { privateAddresses: ['127.0.0.0/8'] }, retries: 2, retryDelayMs: 1 }
})
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

const blob = randomBytes(500_000)
const imageType = 'application/vnd.oci.image.manifest.v1+json'
const manifestOf = (bytes: Uint8Array, size: number = bytes.length): Buffer =>
  Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: imageType,
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: digest(Buffer.from('{}')), size: 2 },
      layers: [{ mediaType: 'application/octet-stream', digest: digest(bytes), size }],
    }),
  )
const manifest = manifestOf(blob)
const give =
  (bytes: Uint8Array, headers: Record<string, string> = {}): Routes[string] =>
  (_request, response) =>
    void response
      .writeHead(200, { 'content-type': imageType, 'content-length': bytes.length, ...headers })
      .end(bytes)
/** Bytes without end. */
const endless: Routes[string] = (_request, response) => {
  response.writeHead(200, { 'content-type': imageType })
  const part = Buffer.alloc(64 * 1024, 0x20)
  const more = (): void => void response.write(part, (error) => (error ? undefined : setImmediate(more)))
  more()
}
const open = (reference = `oci://${host}/a:1`, more: OciSourceOptions = {}): ReturnType<typeof ociSource> =>
  ociSource(reference, { ...options, ...more })
const failureOf = async (act: Promise<unknown>): Promise<unknown> =>
  act.then(String, (error: unknown) => error)

test.each<[string, () => Routes, object]>([
  [
    'a manifest that has another digest than the registry says',
    () => ({ 'GET /v2/a/manifests/1': give(manifest, { 'docker-content-digest': digest(blob) }) }),
    { rule: 'oci-digest' },
  ],
  [
    'a manifest without end',
    () => ({ 'GET /v2/a/manifests/1': endless }),
    { code: 'HTTP_CONNECTION_FAILED', message: expect.stringContaining('more than 4194304 bytes') },
  ],
  [
    'a manifest that another encoding hides',
    () => ({ 'GET /v2/a/manifests/1': give(manifest, { 'content-type': 'text/html' }) }),
    { rule: 'oci-manifest' },
  ],
  ['a page', () => ({ 'GET /v2/a/manifests/1': give(Buffer.from('<html>')) }), { rule: 'oci-manifest' }],
  ['nothing', () => ({}), { code: 'IMAGE_NOT_FOUND' }],
  [
    'a registry that is busy for good',
    () => ({ 'GET /': (_request, response) => void response.writeHead(503, { 'retry-after': '0' }).end() }),
    { code: 'HTTP_STATUS', status: 503 },
  ],
  [
    'a redirect into the network of this machine',
    () => ({
      'GET /': (_request, response) =>
        void response.writeHead(307, { location: 'http://169.254.169.254/a' }).end(),
    }),
    { code: 'ADDRESS_REFUSED' },
  ],
])('refused: %s', async (_what, make, expected) => {
  routes = make()
  expect(await failureOf(open())).toMatchObject(expected)
})

test('a manifest that is not the one of a pinned reference is refused, and so is one that an index does not mean', async () => {
  const image = { mediaType: imageType, digest: digest(manifest), size: manifest.length }
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [image] }))
  const other = manifestOf(Buffer.from('another'))
  routes = {
    'GET /v2/a/manifests/1': give(index, { 'content-type': 'application/vnd.oci.image.index.v1+json' }),
    'GET /v2/a/manifests/sha256': give(other),
  }
  expect(await failureOf(open(`oci://${host}/a@${digest(manifest)}`))).toMatchObject({ rule: 'oci-digest' })
  expect(await failureOf(open())).toMatchObject({ rule: 'oci-digest', found: digest(other) })
})

test('a tag that is moved while it is read mixes nothing', async () => {
  const later = randomBytes(1000)
  let pulls = 0
  routes = {
    'GET /v2/a/manifests/1': (request, response) =>
      give((pulls += 1) === 1 ? manifest : manifestOf(later))(request, response),
    [`GET /v2/a/blobs/${digest(blob)}`]: give(blob),
    [`GET /v2/a/blobs/${digest(later)}`]: give(later),
  }
  const [first, second] = [await open(), await open()]
  expect((await download(first)).bytes.equals(blob)).toBe(true)
  expect((await download(second)).bytes.equals(later)).toBe(true)
  expect(first.name).toBe(`oci://${host}/a:1@${digest(manifest)}`)
  await Promise.all([first.close(), second.close()])
})

test.each<[string, Routes[string], string]>([
  ['other bytes', give(randomBytes(blob.length)), 'sha256'],
  ['fewer bytes', give(blob.subarray(0, 400_000)), 'the data ended after'],
  ['more bytes', give(Buffer.concat([blob, blob])), 'announced 1000000 bytes'],
  ['bytes without end', endless, 'more data arrived'],
  [
    'a part that nobody asked for',
    (_request, response) =>
      void response.writeHead(206, { 'content-range': 'bytes 1-499999/500000' }).end(blob.subarray(1)),
    'unexpected status 206',
  ],
])('a blob that is not what its digest says is refused: %s', async (_what, route, text) => {
  routes = { 'GET /v2/a/manifests/1': give(manifest), 'GET /v2/a/blobs/': route }
  const source = await open()
  const error = await failureOf(download(source))
  expect(error).toMatchObject({ kind: 'failed', message: expect.stringContaining(text) as string })
  await source.close()
})

test('a blob that is cut goes on where it was, and no byte of it is asked for twice', async () => {
  const asked: (string | undefined)[] = []
  routes = {
    'GET /v2/a/manifests/1': give(manifest),
    'GET /v2/a/blobs/': ({ headers: { range } }, response) => {
      asked.push(range)
      const from = Number(/\d+/.exec(range ?? '0')?.[0])
      const length = blob.length - from
      const headers = {
        'content-length': length,
        ...(from > 0 && { 'content-range': `bytes ${from}-499999/500000` }),
      }
      response.writeHead(from === 0 ? 200 : 206, headers)
      response.write(blob.subarray(from, from + 150_000), () =>
        length > 150_000 ? response.destroy() : response.end(),
      )
    },
  }
  const source = await open()
  const { bytes, report } = await download(source)
  expect(bytes.equals(blob)).toBe(true)
  expect(report.resumes).toBe(3)
  expect(asked).toEqual([undefined, 'bytes=150000-', 'bytes=300000-', 'bytes=450000-'])
  await source.close()
})

const secret = 'geheim-und-lang-genug'
const credentials = (): Promise<{ username: string; password: string }> =>
  Promise.resolve({ username: 'me', password: secret })
const challenge =
  (realm: string): Routes[string] =>
  (_request, response) =>
    void response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s"` }).end()

test.each([
  ['on another host without TLS', (other: string) => `http://${other}/token`],
  ['with a user', () => 'https://me@auth.example/token'],
  ['that is none', () => 'file:///etc/passwd'],
  ['that is empty', () => ''],
])('no credentials go to a token server %s', async (_what, realm) => {
  const other = await serve(() => ({ 'GET /token': give(Buffer.from('{"token":"t"}')) }))
  routes = { 'GET /': challenge(realm(other)) }
  const error = await failureOf(open(undefined, { credentials }))
  expect(error).toMatchObject({
    code: 'IMAGE_NOT_AUTHORIZED',
    message: expect.stringContaining('for a token; credentials go') as string,
  })
  expect(seen).toEqual(['GET /v2/a/manifests/1 -'])
})

test('a token goes to the registry, and not to where a blob is', async () => {
  const storage = await serve(() => ({ 'GET /blob': give(blob) }))
  routes = {
    'GET /token': give(Buffer.from(`{"token":"${secret}"}`)),
    'GET /v2/a/manifests/1': (request, response) =>
      (request.headers.authorization === undefined ? challenge(`http://${host}/token`) : give(manifest))(
        request,
        response,
      ),
    'GET /v2/a/blobs/': (_request, response) =>
      void response.writeHead(307, { location: `http://${storage}/blob?sig=${secret}` }).end(),
  }
  const source = await open(undefined, { credentials })
  expect((await download(source)).bytes.equals(blob)).toBe(true)
  await source.close()
  const basic = `Basic ${Buffer.from(`me:${secret}`).toString('base64')}`
  expect(seen).toEqual([
    'GET /v2/a/manifests/1 -',
    `GET /token?service=s&scope=repository%3Aa%3Apull ${basic}`,
    `GET /v2/a/manifests/1 Bearer ${secret}`,
    `GET /v2/a/blobs/${digest(blob)} Bearer ${secret}`,
    `GET /blob?sig=${secret} -`,
  ])
})

test('what a server repeats of a secret is in no error', async () => {
  const repeat: Routes[string] = (request, response) => {
    const said = `You sent ${request.headers.authorization}, me:${secret}`
    response.writeHead(403, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ errors: [{ code: 'DENIED', message: said, detail: said }] }))
  }
  const isSecret = (error: unknown): boolean =>
    [String(error), JSON.stringify(error), String((error as Error).cause)].some((text) =>
      text.includes(secret),
    )
  const header = Buffer.from(`me:${secret}`).toString('base64')
  for (const made of [
    { 'GET /token': repeat, 'GET /v2': challenge(`http://${host}/token`) },
    { 'GET /token': give(Buffer.from(`{"token": "${secret}`)), 'GET /v2': challenge(`http://${host}/token`) },
    {
      'GET /v2': (request: IncomingMessage, response: ServerResponse) =>
        request.headers.authorization === `Basic ${header}`
          ? repeat(request, response)
          : void response.writeHead(401, { 'www-authenticate': 'Basic realm="a"' }).end(),
    },
  ]) {
    routes = made
    const error = await failureOf(open(undefined, { credentials }))
    expect(error).toMatchObject({ code: 'IMAGE_NOT_AUTHORIZED' })
    expect(isSecret(error)).toBe(false)
  }
})

test('a mirror is asked first, and only where it is named; what it lacks the registry has', async () => {
  const mirrored: Routes = { 'GET /v2/a/manifests/1': give(manifest) }
  const mirror = await serve(() => mirrored)
  routes = { 'GET /v2/a/blobs/': give(blob) }
  const source = await open(undefined, { mirrors: { [host]: [mirror] }, plainHttp: [host, mirror] })
  expect((await download(source)).bytes.equals(blob)).toBe(true)
  await source.close()
  expect(await failureOf(open(undefined, { mirrors: { 'another.example': [mirror] } }))).toMatchObject({
    code: 'IMAGE_NOT_FOUND',
  })
})

test('without being named as plain, a registry is spoken to by TLS only', async () => {
  expect(await failureOf(open(undefined, { plainHttp: [] }))).toMatchObject({
    code: 'HTTP_CONNECTION_FAILED',
  })
  expect(seen).toEqual([])
})

/** A registry that takes uploads, and loses connections. */
function uploads(cut: (sent: number) => number | undefined): {
  readonly stored: () => Buffer
  readonly reads: number[]
} {
  let stored = Buffer.alloc(0)
  const reads: number[] = []
  const blobs = new Set<string>()
  const where = { location: '/v2/a/blobs/uploads/x?state=1' }
  routes = {
    'POST /v2/a/blobs/uploads/': (_request, response) => void response.writeHead(202, where).end(),
    'GET /v2/a/blobs/uploads/x': (_request, response) =>
      void response.writeHead(204, { ...where, range: `0-${Math.max(0, stored.length - 1)}` }).end(),
    'PATCH /v2/a/blobs/uploads/x': (request, response) => {
      const [first] = (request.headers['content-range'] ?? '').split('-')
      if (Number(first) !== stored.length) {
        response.writeHead(416, { range: `0-${stored.length - 1}` }).end()
        return
      }
      let part = Buffer.alloc(0)
      const most = cut(stored.length)
      request.on('data', (bytes: Buffer) => {
        part = Buffer.concat([part, bytes])
        if (most === undefined || part.length < most) return
        stored = Buffer.concat([stored, part.subarray(0, most)])
        request.destroy()
      })
      request.on('end', () => {
        reads.push(part.length)
        stored = Buffer.concat([stored, part])
        response.writeHead(202, where).end()
      })
    },
    'PUT /v2/a/blobs/uploads/x': (request, response) => {
      blobs.add(new URL(request.url ?? '', 'http://a').searchParams.get('digest') ?? '')
      request.resume().on('end', () => response.writeHead(201).end())
    },
    'PUT /v2/a/manifests/1': (request, response) =>
      void request.resume().on('end', () => response.writeHead(201).end()),
    'DELETE /v2/a/blobs/uploads/x': (_request, response) => void response.writeHead(204).end(),
  }
  return { stored: () => stored, reads }
}

const push = (more: object = {}): ReturnType<typeof pushImage> =>
  pushImage(bytesSource(blob), `oci://${host}/a:1`, {
    ...options,
    as: 'artifact',
    diskFormat: 'raw',
    portionBytes: 200_000,
    ...more,
  })

test('an upload that breaks off goes on where the registry says, and the source is read once', async () => {
  const cuts = new Set([0, 120_000, 200_000])
  const registry = uploads((sent) =>
    cuts.delete(sent) ? (sent === 200_000 ? 0 : 120_000 - sent || 80_000) : undefined,
  )
  const report = await push()
  expect(report.resumes).toBeGreaterThan(1)
  expect(report.blob).toEqual({ digest: digest(blob), size: blob.length })
  expect(registry.stored().equals(blob)).toBe(true)
})

test('a registry that wants shorter portions gets them', async () => {
  const registry = uploads(() => undefined)
  const take = routes['PATCH /v2/a/blobs/uploads/x']
  routes['PATCH /v2/a/blobs/uploads/x'] = (request, response) => {
    if (Number(request.headers['content-length']) > 1_100_000) response.writeHead(413).end()
    else take?.(request, response)
  }
  const large = Buffer.concat(Array.from({ length: 8 }, () => blob))
  const reference = `oci://${host}/a:1`
  await pushImage(bytesSource(large), reference, {
    ...options,
    as: 'artifact',
    diskFormat: 'raw',
    portionBytes: 4_000_000,
  })
  expect(registry.stored().equals(large)).toBe(true)
  expect(Math.max(...registry.reads)).toBeLessThan(1_100_000)
})

test.each<[string, (registry: ReturnType<typeof uploads>) => void, object]>([
  [
    'sends the data elsewhere',
    () =>
      (routes['POST /'] = (_request, response) =>
        void response.writeHead(202, { location: 'http://127.0.0.1:1/x' }).end()),
    { message: expect.stringContaining("where its credentials don't go") },
  ],
  [
    'has another digest',
    () =>
      (routes['PUT /v2/a/blobs/uploads/x'] = (_request, response) =>
        void response.writeHead(201, { 'docker-content-digest': digest(manifest) }).end()),
    { code: 'PUSH_FAILED' },
  ],
  [
    'takes nothing',
    () => (routes['POST /'] = (_request, response) => void response.writeHead(405).end()),
    { code: 'HTTP_STATUS', status: 405 },
  ],
])('a registry that %s', async (_what, change, expected) => {
  const registry = uploads(() => undefined)
  delete routes['POST /v2/a/blobs/uploads/']
  routes['POST /'] = (_request, response) =>
    void response.writeHead(202, { location: '/v2/a/blobs/uploads/x' }).end()
  change(registry)
  expect(await failureOf(push())).toMatchObject(expected)
  expect(seen.some((line) => line.startsWith('PUT /v2/a/manifests/1'))).toBe(false)
})

test('a source that fails leaves no tag, and the upload is taken back', async () => {
  uploads(() => undefined)
  const source = { ...bytesSource(blob), download: () => Promise.reject(new Error('it is broken')) }
  const error = await failureOf(pushImage(source, `oci://${host}/a:1`, { ...options, diskFormat: 'raw' }))
  expect(String(error)).toContain('it is broken')
  expect(seen.map((line) => line.split(' ')[0])).toEqual(['POST', 'DELETE'])
})

test('a folder with links, pipes or other bytes is refused', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'oci-layout-'))
  const image = { mediaType: imageType, digest: digest(manifest), size: manifest.length }
  const place = (what: string): string => path.join(folder, 'blobs/sha256', what.replace('sha256:', ''))
  try {
    mkdirSync(path.join(folder, 'blobs/sha256'), { recursive: true })
    writeFileSync(path.join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [image] }))
    writeFileSync(place(image.digest), manifest)
    symlinkSync('/dev/zero', place(digest(blob)))
    expect(await failureOf(ociSource(`oci:${folder}`))).toMatchObject({ rule: 'oci-layout' })
    rmSync(place(digest(blob)))
    writeFileSync(place(digest(blob)), blob.subarray(1))
    expect(await failureOf(ociSource(`oci:${folder}`))).toMatchObject({ rule: 'oci-digest' })
    writeFileSync(place(digest(blob)), randomBytes(blob.length))
    const source = await ociSource(`oci:${folder}`)
    expect(await failureOf(download(source))).toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
    await source.close()
    expect(await failureOf(ociSource(`oci:${folder}:name`))).toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    writeFileSync(place(image.digest), manifestOf(Buffer.from('another')))
    expect(await failureOf(ociSource(`oci:${folder}`))).toMatchObject({ rule: 'oci-digest' })
    expect(await failureOf(ociSource('oci:/nowhere'))).toMatchObject({ code: 'IMAGE_NOT_FOUND' })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
