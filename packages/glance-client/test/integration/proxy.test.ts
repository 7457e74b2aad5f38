import https from 'node:https'
import net from 'node:net'
import tls from 'node:tls'
import path from 'node:path'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { createGlanceClient, createSession, loadSession } from '@disk-image/glance-client'
import type { GlanceClient, ProxyOptions } from '@disk-image/glance-client'
import { startGlance, startNginx, startTinyproxy } from '@disk-image/testing'
import type { RunningGlance, RunningNginx } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeAuthority, makeCertificate } from './certificates.ts'
import { keeper, quick, randomData, sourceOf } from './helpers.ts'

const data = randomData(3_000_001)
const opened: { close(): unknown }[] = []
let directory: string
let secure: RunningNginx
let ca: string

const file = (name: string): string => path.join(directory, name)
const both = (proxy: string): ProxyOptions => ({ http: proxy, https: proxy })

/** Listens on loopback until the tests end. */
async function portOf(server: Server): Promise<number> {
  opened.push(server)
  server.on('connection', (socket: net.Socket) => socket.on('error', () => undefined))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

/** A proxy that answers each request with the same bytes, or with nothing, and keeps what it was sent. */
async function scripted(answer: string | undefined): Promise<{ url: string; heads: string[] }> {
  const heads: string[] = []
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (bytes) => {
      heads.push(bytes.toString('latin1'))
      if (answer !== undefined) socket.write(answer, 'latin1')
    })
  })
  return { url: `http://127.0.0.1:${await portOf(server)}`, heads }
}

async function expectData(client: GlanceClient, { images }: RunningNginx): Promise<void> {
  const { id } = images[0]!
  expect((await client.show(id)).status).toBe('active')
  const sink = keeper()
  expect(await client.download(id, sink, { verify: 'strict' })).toMatchObject({ hash: { verified: true } })
  expect(sink.bytes().equals(data)).toBe(true)
  expect(Buffer.from(await client.readRange(id, 7, 100_000))).toEqual(data.subarray(7, 100_007))
}

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'glance-client-proxy-'))
  await writeFile(file('image'), data)
  await makeAuthority(directory, 'authority')
  await makeCertificate(directory, 'server', 'authority', 'subjectAltName = IP:127.0.0.1')
  await makeCertificate(directory, 'elsewhere', 'authority', 'subjectAltName = DNS:elsewhere.example')
  ca = await readFile(file('authority.pem'), 'utf8')
  const certificate = { certificateFile: file('server.pem'), keyFile: file('server.key') }
  secure = await startNginx({ images: [{ file: file('image') }], tls: certificate })
})

afterAll(async () => {
  for (const server of opened) server.close()
  await secure?.stop()
  await rm(directory, { recursive: true, force: true })
})

describe('a proxy on the way to Keystone and Glance', () => {
  let glance: RunningGlance

  beforeAll(async () => {
    glance = await startGlance({ mode: 'keystone' })
  })
  afterAll(() => glance?.stop())

  it('carries everything: sign-in, calls, downloads and uploads', async () => {
    await using proxy = await startTinyproxy('somebody sesame')
    const { session, proxy: way } = await loadSession({
      environment: {
        OS_CLIENT_CONFIG_FILE: glance.cloudsFile,
        http_proxy: `http://somebody:sesame@127.0.0.1:${proxy.port}`,
      },
      cloud: 'demo',
      directories: [],
    })
    await using client = createGlanceClient({ session, proxy: way })
    const { id } = await client.create({ name: 'p', disk_format: 'raw', container_format: 'bare' })
    await client.upload(id, sourceOf(data))
    const sink = keeper()
    expect(await client.download(id, sink, { verify: 'strict' })).toMatchObject({ hash: { verified: true } })
    expect(sink.bytes().equals(data)).toBe(true)
    await client.delete(id)
    const requests = await proxy.requests()
    const keystone = new URL(glance.environment['OS_AUTH_URL'] ?? '').origin
    for (const expected of [
      `POST ${keystone}`,
      `POST ${glance.url}/v2/images`,
      `PUT ${glance.url}/v2/images/${id}/file`,
      `GET ${glance.url}/v2/images/${id}/file`,
      `DELETE ${glance.url}/v2/images/${id}`,
    ]) {
      expect(
        requests.some((request) => request.startsWith(expected)),
        expected,
      ).toBe(true)
    }
  })

  it('is not asked for what no_proxy names', async () => {
    const proxy = await scripted(undefined)
    const environment = {
      OS_CLIENT_CONFIG_FILE: glance.cloudsFile,
      all_proxy: proxy.url,
      NO_PROXY: '127.0.0.0/8',
    }
    const { session, proxy: way } = await loadSession({ environment, cloud: 'demo', directories: [] })
    await using client = createGlanceClient({ session, proxy: way })
    for await (const image of client.list()) expect(image.id).toBeDefined()
    expect(proxy.heads).toEqual([])
  })
})

describe('a proxy on the way to a server on https', () => {
  it('opens tunnels, and the server is verified in them', async () => {
    await using proxy = await startTinyproxy()
    await using client = createGlanceClient({
      ...quick,
      endpoint: secure.url,
      tls: { ca },
      proxy: both(proxy.url),
    })
    await expectData(client, secure)
    const requests = await proxy.requests()
    expect(requests.length).toBeGreaterThan(0)
    // Kept connections go on through their tunnel.
    expect(requests.length).toBeLessThan(4)
    expect(new Set(requests)).toEqual(new Set([`CONNECT ${new URL(secure.url).host}`]))

    await using stranger = createGlanceClient({
      ...quick,
      endpoint: secure.url,
      proxy: both(proxy.url),
      retries: 0,
    })
    await expect(stranger.show('x')).rejects.toThrow(/could not be reached: UNABLE_TO_\w+, .*cacert/)
    const key = await readFile(file('elsewhere.key'))
    const other = https.createServer({ cert: await readFile(file('elsewhere.pem')), key })
    await using elsewhere = createGlanceClient({
      ...quick,
      endpoint: `https://127.0.0.1:${await portOf(other)}`,
      tls: { ca },
      proxy: both(proxy.url),
      retries: 0,
    })
    await expect(elsewhere.show('x')).rejects.toThrow(/ALTNAME.*another host/)
  })

  it('carries a sign-in and an upload, and its password stays with it', async () => {
    const seen: IncomingHttpHeaders[] = []
    let stored = 0
    const server = https.createServer(
      { cert: await readFile(file('server.pem')), key: await readFile(file('server.key')) },
      (request, response) => {
        seen.push(request.headers)
        request.on(
          'data',
          (bytes: Buffer) => (stored += request.url?.endsWith('/file') === true ? bytes.length : 0),
        )
        request.on('end', () => {
          const isToken = request.url === '/v3/auth/tokens'
          const expires = { token: { expires_at: '2999-01-01T00:00:00Z', catalog: [] } }
          const image = { id: 'i', status: stored === 0 ? 'queued' : 'active', size: stored }
          if (isToken) response.setHeader('X-Subject-Token', 'token')
          response.statusCode = isToken ? 201 : request.method === 'PUT' ? 204 : 200
          response.end(response.statusCode === 204 ? '' : JSON.stringify(isToken ? expires : image))
        })
      },
    )
    const origin = `https://127.0.0.1:${await portOf(server)}`
    await using proxy = await startTinyproxy('somebody sesame')
    const way = both(`http://somebody:sesame@127.0.0.1:${proxy.port}`)
    const auth = { authUrl: `${origin}/v3`, username: 'u', password: 'p', userDomainName: 'd' }
    const session = createSession({ auth, tls: { ca }, proxy: way })
    await using client = createGlanceClient({ ...quick, endpoint: origin, session, tls: { ca }, proxy: way })
    await client.upload('i', sourceOf(data), { verify: 'none' })
    expect(stored).toBe(data.length)
    expect(seen.length).toBeGreaterThan(2)
    for (const headers of seen) expect(headers).not.toHaveProperty('proxy-authorization')
  })

  it('may be on https itself, and is verified too', async () => {
    const identity = { cert: await readFile(file('server.pem')), key: await readFile(file('server.key')) }
    const asked: string[] = []
    const proxyServer = tls.createServer(identity, (client) => {
      client.on('error', () => undefined)
      client.once('data', (bytes) => {
        const [method = '', target = ''] = bytes.toString('latin1').split(' ')
        asked.push(`${method} ${target}`)
        const url = new URL(method === 'CONNECT' ? `https://${target}` : target)
        const server = net.connect(Number(url.port), url.hostname)
        server.on('error', () => client.destroy())
        if (method === 'CONNECT') client.write('HTTP/1.1 200 Connection established\r\n\r\n')
        else server.write(bytes)
        client.pipe(server).pipe(client)
      })
    })
    const proxy = both(`https://127.0.0.1:${await portOf(proxyServer)}`)
    await using client = createGlanceClient({ ...quick, endpoint: secure.url, tls: { ca }, proxy })
    await expectData(client, secure)
    await using plain = await startNginx({ images: [{ file: file('image') }] })
    await using plainClient = createGlanceClient({ ...quick, endpoint: plain.url, tls: { ca }, proxy })
    await expectData(plainClient, plain)
    await expect(plainClient.create({ name: 'x' })).rejects.toMatchObject({ code: 'GLANCE_HTTP' })
    expect(asked.some((request) => request.startsWith(`POST ${plain.url}/v2/images`))).toBe(true)
    await using stranger = createGlanceClient({ ...quick, endpoint: plain.url, proxy, retries: 0 })
    await expect(stranger.show('x')).rejects.toThrow(/the proxy https:\/\/127\.0\.0\.1:\d+: UNABLE_TO/)
    await expect(stranger.create({ name: 'x' })).rejects.toThrow(
      /the proxy https:\/\/127\.0\.0\.1:\d+: UNABLE_TO/,
    )
  })
})

describe('a proxy that fails', () => {
  /** What a read, a write and a read of data come to, and a sign-in, which goes over undici. */
  async function failures(proxyUrl: string, endpoint: string, signIn = true): Promise<string[]> {
    const options = { ...quick, connectTimeoutMs: 1000, headersTimeoutMs: 5000, retries: 0 }
    const proxy = both(proxyUrl.replace('http://', 'http://somebody:sesame@'))
    await using client = createGlanceClient({ ...options, endpoint, tls: { ca }, proxy })
    const auth = { authUrl: `${endpoint}/v3`, username: 'u', password: 'p', userDomainName: 'd' }
    const session = createSession({ ...options, auth, retries: 0, tls: { ca }, proxy })
    const calls = [
      client.show('x'),
      client.create({ name: 'x' }),
      client.readRange('x', 0, 10),
      ...(signIn ? [session.authorize(undefined)] : []),
    ]
    const settled = await Promise.allSettled(calls)
    return settled.map((result) => (result.status === 'rejected' ? String(result.reason) : 'no error'))
  }
  const answers: [string, string | undefined, RegExp][] = [
    [
      'asks for a password',
      'HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n',
      /does not accept the user name and password/,
    ],
    ['refuses', 'HTTP/1.1 403 No\r\n\r\n', /refuses to connect there \(403\).*no_proxy/],
    ['can not reach the server', 'HTTP/1.0 502 Bad\r\n\r\n', /could not connect there \(502\)/],
    ['says nothing', undefined, /no answer within 1 s/],
    ['is none', 'SSH-2.0-OpenSSH_9.2\r\n\r\n', /does not answer as an HTTP proxy/],
    ['has endless headers', `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(20_000)}`, /endless headers/],
    ['never comes to the point', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(50), /interim answer/],
    [
      'speaks for the server',
      'HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
      /data before it is spoken to/,
    ],
    ['speaks no TLS', 'HTTP/1.1 200 OK\r\n\r\n', /no answer within 1 s/],
  ]

  it.each(answers)('because it %s is named', async (_, answer, reason) => {
    const { url, heads } = await scripted(answer)
    for (const failure of await failures(url, 'https://glance.example:9292')) {
      expect(failure).toContain('https://glance.example:9292 could not be reached')
      expect(failure).toMatch(reason)
      expect(failure).not.toContain('sesame')
    }
    for (const head of heads) {
      expect(head).toMatch(
        /^CONNECT glance\.example:9292 HTTP\/1\.1\r\nHost: glance\.example:9292\r\nProxy-Authorization: Basic /,
      )
    }
  })

  it('because nothing listens is named', async () => {
    const server = net.createServer()
    const port = await portOf(server)
    await new Promise((resolve) => server.close(resolve))
    for (const endpoint of ['https://glance.example', 'http://glance.example']) {
      for (const failure of await failures(`http://127.0.0.1:${port}`, endpoint)) {
        expect(failure).toContain(
          `${endpoint} could not be reached: the proxy http://127.0.0.1:${port}: ECONNREFUSED, nothing listens there`,
        )
      }
    }
  })

  it('on the way to a server on http is named where it asks for a password', async () => {
    const { url, heads } = await scripted('HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n')
    for (const failure of await failures(url, 'http://glance.example:9292')) {
      expect(failure).toContain(`the proxy ${url} does not accept the user name and password`)
    }
    expect(heads.length).toBe(4)
    for (const head of heads) expect(head).toMatch(/^(?:GET|POST) http:\/\/glance\.example:9292\/v[23]\//)
    for (const head of heads) expect(head).toMatch(/\r\nhost: glance\.example:9292\r\n/i)
  })

  it('is named with an answer that may be its own', async () => {
    const { url } = await scripted(
      'HTTP/1.1 500 Unable to connect\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    )
    for (const failure of await failures(url, 'http://glance.example:9292', false)) {
      expect(failure).toContain(`HTTP 500 from the proxy ${url} or the server behind it`)
    }
  })

  it('ends with the signal', async () => {
    const { url } = await scripted(undefined)
    await using client = createGlanceClient({ endpoint: 'https://glance.example', proxy: both(url) })
    const reason = new Error('enough')
    for (const call of ['show', 'deactivate'] as const) {
      const controller = new AbortController()
      setTimeout(() => controller.abort(reason), 50)
      await expect(client[call]('x', { signal: controller.signal })).rejects.toBe(reason)
    }
  })
})
