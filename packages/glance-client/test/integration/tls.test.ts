import tls from 'node:tls'
import path from 'node:path'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { createGlanceClient, createSession, loadSession, loadTls } from '@disk-image/glance-client'
import type { GlanceClient } from '@disk-image/glance-client'
import { startNginx } from '@disk-image/testing'
import type { RunningNginx } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeAuthority, makeCertificate } from './certificates.ts'
import { keeper, quick, randomData } from './helpers.ts'

const data = randomData(700_001)
let directory: string
let open: RunningNginx
let guarded: RunningNginx

const file = (name: string): string => path.join(directory, name)

/** A client from clouds.yaml, as users have it. */
async function clientOf(server: { url: string }, settings: object, retries = 0): Promise<GlanceClient> {
  const configuration = file('clouds.yaml')
  const cloud = { auth_type: 'none', auth: { endpoint: server.url }, ...settings }
  await writeFile(configuration, JSON.stringify({ clouds: { secure: cloud } }))
  const { session, tls: options } = await loadSession({
    environment: { OS_CLIENT_CONFIG_FILE: configuration },
    cloud: 'secure',
    directories: [],
  })
  return createGlanceClient({ ...quick, session, tls: options, retries })
}

/** What becomes of a JSON call, and of a connection for data alone. */
async function bothWays(client: GlanceClient, id: string): Promise<[unknown, unknown]> {
  const caught = (error: unknown): unknown => error
  return [
    await client.show(id).then(({ status }) => status, caught),
    await client.readRange(id, 300_000, 100_000).then((bytes) => Buffer.from(bytes), caught),
  ]
}

async function expectWorking(server: RunningNginx, settings: object): Promise<void> {
  await using client = await clientOf(server, settings)
  const { id } = server.images[0]!
  expect(await bothWays(client, id)).toEqual(['active', data.subarray(300_000, 400_000)])
  const sink = keeper()
  expect(await client.download(id, sink, { verify: 'strict' })).toMatchObject({ hash: { verified: true } })
  expect(sink.bytes().equals(data)).toBe(true)
}

async function expectRefused(server: { url: string }, settings: object, reason: RegExp): Promise<void> {
  await using client = await clientOf(server, settings)
  for (const error of await bothWays(client, '8a3a4c3e-0000-4000-8000-000000000000')) {
    expect(error).toMatchObject({ code: 'GLANCE_CONNECTION_FAILED' })
    expect((error as Error).message).toMatch(reason)
    expect((error as Error).message.startsWith(`Connection to glance failed: ${server.url}`)).toBe(true)
  }
}

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'glance-client-tls-'))
  await writeFile(file('image'), data)
  await Promise.all(['authority', 'stranger'].map((name) => makeAuthority(directory, name)))
  await makeCertificate(directory, 'server', 'authority', 'subjectAltName = IP:127.0.0.1')
  await makeCertificate(directory, 'elsewhere', 'authority', 'subjectAltName = DNS:elsewhere.example')
  await makeCertificate(directory, 'client', 'authority', 'extendedKeyUsage = clientAuth')
  const server = { certificateFile: file('server.pem'), keyFile: file('server.key') }
  const images = [{ file: file('image') }]
  open = await startNginx({ images, tls: server })
  guarded = await startNginx({ images, tls: { ...server, clientAuthorityFile: file('authority.pem') } })
})

afterAll(async () => {
  await open?.stop()
  await guarded?.stop()
  await rm(directory, { recursive: true, force: true })
})

describe('TLS', () => {
  it('refuses a server of an unknown authority, and says what to do', async () => {
    const advice = /could not be reached: UNABLE_TO_\w+, .*cacert.*insecure/
    await expectRefused(open, {}, advice)
    await expectRefused(open, { cacert: file('stranger.pem') }, advice)
    const session = createSession({
      auth: { authUrl: open.url, username: 'u', password: 'p', userDomainId: 'd' },
      retries: 0,
    })
    await expect(session.authorize(undefined)).rejects.toMatchObject({
      code: 'IDENTITY_UNREACHABLE',
      message: expect.stringMatching(/https:\/\/127\.0\.0\.1:\d+ could not be reached.*cacert/) as string,
    })
  })

  it('accepts a server of the authority given, or any where that is wanted', async () => {
    await expectWorking(open, { cacert: file('authority.pem') })
    await expectWorking(open, { insecure: true })
    await expectWorking(open, { verify: false })
  })

  it('finds certificates by ~ and variables, and by the variables that other programs know', async () => {
    const settings = { verify: true }
    const home = { HOME: directory }
    for (const cacert of [
      '~/authority.pem',
      '$HOME/authority.pem',
      '${HOME}/authority.pem',
      'authority.pem',
    ]) {
      const tls = await loadTls({ environment: home, workingDirectory: directory, settings: { cacert } })
      expect(tls?.ca).toContain('BEGIN CERTIFICATE')
    }
    expect((await loadTls({ environment: {}, settings: { verify: file('authority.pem') } }))?.ca).toContain(
      'BEGIN',
    )
    const names = ['OS_CACERT', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'SSL_CERT_FILE']
    for (const name of names) {
      const environment = { ...home, [name]: '~/authority.pem' }
      const tls = await loadTls({ environment, settings })
      await using client = createGlanceClient({ ...quick, endpoint: open.url, tls, retries: 0 })
      expect((await client.show(open.images[0]!.id)).status).toBe('active')
    }
    // A cloud's own goes first, and nothing is read where nothing is verified.
    const environment = { REQUESTS_CA_BUNDLE: file('none') }
    expect(await loadTls({ environment, settings: { cacert: file('authority.pem') } })).toBeDefined()
    expect(await loadTls({ environment, settings: { insecure: 'yes' } })).toMatchObject({ insecure: true })
    expect(await loadTls({ environment: {} })).toBeUndefined()
  })

  it('says which file of certificates is wrong, and why', async () => {
    const refused = async (settings: Record<string, string>, reason: RegExp): Promise<void> =>
      await expect(loadTls({ environment: {}, settings })).rejects.toThrow(reason)
    await refused({ cacert: file('none.pem') }, /none\.pem \(cacert\) could not be read: ENOENT/)
    await refused({ cacert: directory }, /\(cacert\) could not be read: EISDIR, it is a folder/)
    await refused({ cacert: file('image') }, /image \(cacert\) has no certificate in PEM/)
    await refused({ cacert: file('server.key') }, /server\.key \(cacert\) has no certificate in PEM/)
    await refused({ cert: file('client.pem') }, /client\.pem has no private key in PEM: give one as key/)
    await refused({ cert: file('client.pem'), key: file('server.key') }, /does not belong to the certificate/)
    await refused({ verify: file('none.pem') }, /none\.pem \(verify\) could not be read: ENOENT/)
    await refused({ insecure: 'perhaps' }, /insecure must be true or false/)
    await expect(loadTls({ environment: { REQUESTS_CA_BUNDLE: directory } })).rejects.toThrow(
      /\(REQUESTS_CA_BUNDLE\) could not be read: EISDIR/,
    )
  })

  it('shows its own certificate where the server demands one', async () => {
    const cacert = file('authority.pem')
    await expectWorking(guarded, { cacert, cert: file('client.pem'), key: file('client.key') })
    await using client = await clientOf(guarded, { cacert })
    for (const error of await bothWays(client, guarded.images[0]!.id)) {
      expect((error as Error).message).toMatch(/400.*certificate was sent/)
    }
  })

  it('says that a certificate of its own is missing where the handshake fails for it', async () => {
    const [cert, key, ca] = await Promise.all(
      ['server.pem', 'server.key', 'authority.pem'].map((name) => readFile(file(name))),
    )
    const server = tls.createServer({
      cert,
      key,
      ca,
      requestCert: true,
      rejectUnauthorized: true,
      // Later versions tell only after the handshake, and Node's server not at all.
      maxVersion: 'TLSv1.2',
    })
    server.on('tlsClientError', () => undefined)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
    try {
      await expectRefused({ url }, { cacert: file('authority.pem') }, /give cert and key/)
    } finally {
      server.close()
    }
  })

  it('refuses a certificate for another host, and a server that speaks no TLS', async () => {
    const [cert, key] = await Promise.all(
      ['elsewhere.pem', 'elsewhere.key'].map((name) => readFile(file(name))),
    )
    const other = tls.createServer({ cert, key })
    const plain = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'))
    })
    for (const server of [other, plain]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    }
    const urlOf = (server: { address(): unknown }): string =>
      `https://127.0.0.1:${(server.address() as AddressInfo).port}`
    try {
      const cacert = file('authority.pem')
      await expectRefused({ url: urlOf(other) }, { cacert }, /could not be reached: .*ALTNAME.*another host/)
      await expectRefused({ url: urlOf(plain) }, { cacert }, /could not be reached: .*is it http\?/)
    } finally {
      other.close()
      plain.close()
    }
  })
})

describe('a service that is not there', () => {
  it('is named, with why, and without what may be secret', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    await using client = createGlanceClient({
      ...quick,
      endpoint: `http://127.0.0.1:${port}/hidden`,
      retries: 1,
    })
    for (const error of await bothWays(client, 'x')) {
      expect((error as Error).message).toBe(
        `Connection to glance failed: http://127.0.0.1:${port} could not be reached: ECONNREFUSED, nothing listens there`,
      )
    }
  })
})
