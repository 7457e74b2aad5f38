import { createServer } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createGlanceClient, createSession } from '@disk-image/glance-client'
import type { AuthOptions, Session } from '@disk-image/glance-client'
import { afterEach, describe, expect, it } from 'vitest'

interface Seen {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

type Reply = readonly [status: number, body: unknown, headers?: Record<string, string>]

interface Server {
  readonly url: string
  readonly seen: Seen[]
}

const stops: (() => void)[] = []
afterEach(() => {
  for (const stop of stops.splice(0)) stop()
})

/** A server that writes down what it is asked. */
async function serve(answer: (request: Seen, url: string) => Reply): Promise<Server> {
  const seen: Seen[] = []
  let url = ''
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const asked = { path: `${request.method} ${request.url}`, headers: request.headers, body }
      seen.push(asked)
      const [status, value, headers] = answer(asked, url)
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify(value))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  stops.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url, seen }
}

const federation = 'POST /v3/OS-FEDERATION/identity_providers/my%20idp/protocols/openid/auth'

/** As Keystone answers: one token for federation, another for everything else. */
function serveKeystone(): Promise<Server> {
  return serve(({ path }) => [
    201,
    { token: { expires_at: new Date(Date.now() + 3_600_000).toISOString(), catalog: [] } },
    { 'x-subject-token': path === federation ? 'federated-token' : 'final-token' },
  ])
}

/** Signs in; returns what Keystone was sent. */
async function signIn(authType: string, auth: AuthOptions): Promise<Seen[]> {
  const keystone = await serveKeystone()
  const session = createSession({ authType, auth: { authUrl: `${keystone.url}/v3`, ...auth } })
  expect(await tokenOf(session)).toBe('final-token')
  return keystone.seen
}

async function tokenOf(session: Session): Promise<string | undefined> {
  return (await session.authorize(undefined)).headers['X-Auth-Token']
}

const scope = { projectName: 'p', projectDomainId: 'default' }
const project = { project: { name: 'p', domain: { id: 'default' } } }

it("goes by a token's life, whatever the clock of this machine says", async () => {
  const token = { issued_at: '2001-01-01T00:00:00.000000Z', expires_at: '2001-01-01T01:00:00.000000Z' }
  const keystone = await serve(() => [201, { token: { ...token, catalog: [] } }, { 'x-subject-token': 't' }])
  const account = { userId: 'u', password: 'p', projectId: 'p' }
  const session = createSession({ auth: { authUrl: `${keystone.url}/v3`, ...account } })
  for (let call = 0; call < 3; call += 1) expect(await tokenOf(session)).toBe('t')
  expect(keystone.seen.length).toBe(1)
})

describe('http_basic', () => {
  it('sends name and password with calls and with data', async () => {
    const expected = `Basic ${Buffer.from('user:pässword:with colon').toString('base64')}`
    const glance = await serve(({ headers }) =>
      headers.authorization === expected ? [200, { id: 'x', status: 'active' }] : [401, {}],
    )
    const clientOf = (password: string): ReturnType<typeof createGlanceClient> =>
      createGlanceClient({
        session: createSession({
          authType: 'http_basic',
          auth: { username: 'user', password, endpoint: `${glance.url}/v2` },
        }),
      })
    await using client = clientOf('pässword:with colon')
    expect(await client.show('x')).toMatchObject({ status: 'active' })
    expect((await client.readRange('x', 0, 10)).length).toBe(10)
    await using wrong = clientOf('another')
    await expect(wrong.show('x')).rejects.toMatchObject({ code: 'IMAGE_NOT_AUTHORIZED' })
    await expect(wrong.readRange('x', 0, 10)).rejects.toMatchObject({ code: 'IMAGE_NOT_AUTHORIZED' })
    expect(glance.seen.every(({ headers }) => headers['x-auth-token'] === undefined)).toBe(true)
  })
})

describe('v3totp', () => {
  it('sends the passcode, alone and as a second factor', async () => {
    const user = { username: 'u', userDomainName: 'Default', passcode: '123456' }
    const [alone] = await signIn('v3totp', { ...user, ...scope })
    expect(alone?.path).toBe('POST /v3/auth/tokens')
    const named = { name: 'u', domain: { name: 'Default' } }
    const totp = { user: { ...named, passcode: '123456' } }
    expect(JSON.parse(alone?.body ?? '')).toEqual({
      auth: { identity: { methods: ['totp'], totp }, scope: project },
    })
    const both = { ...user, password: 's3cret', authMethods: ['v3password', 'v3totp'] }
    const [second] = await signIn('v3multifactor', both)
    const password = { user: { ...named, password: 's3cret' } }
    expect(JSON.parse(second?.body ?? '')).toEqual({
      auth: { identity: { methods: ['password', 'totp'], password, totp } },
    })
    await expect(signIn('v3totp', { username: 'u', userDomainName: 'Default' })).rejects.toThrow(/passcode/)
  })
})

describe('OpenID Connect', () => {
  const federated = { identityProvider: 'my idp', protocol: 'openid', ...scope }
  const account = { clientId: 'id:1', clientSecret: 'client secret', ...federated }
  const serveProvider = (): Promise<Server> =>
    serve(({ path }, url) => {
      if (path === 'GET /discovery') return [200, { token_endpoint: `${url}/token` }]
      if (path !== 'POST /token') return [404, {}]
      return [200, { access_token: 'the-access-token', id_token: 'the-id-token' }]
    })

  function expectExchange(seen: readonly Seen[], accessToken: string): void {
    expect(seen.map(({ path }) => path)).toEqual([federation, 'POST /v3/auth/tokens'])
    expect(seen[0]?.headers.authorization).toBe(`Bearer ${accessToken}`)
    expect(seen[0]?.body).toBe('')
    expect(JSON.parse(seen[1]?.body ?? '')).toEqual({
      auth: { identity: { methods: ['token'], token: { id: 'federated-token' } }, scope: project },
    })
  }

  it('exchanges a name and password for a token of the project', async () => {
    const provider = await serveProvider()
    const auth = {
      ...account,
      username: 'u',
      password: 'pä&ss',
      discoveryEndpoint: `${provider.url}/discovery`,
    }
    expectExchange(await signIn('v3oidcpassword', auth), 'the-access-token')
    expect(provider.seen.map(({ path }) => path)).toEqual(['GET /discovery', 'POST /token'])
    const { headers, body } = provider.seen[1]!
    expect(headers['content-type']).toBe('application/x-www-form-urlencoded')
    expect(headers.authorization).toBe(`Basic ${Buffer.from('id%3A1:client+secret').toString('base64')}`)
    expect(Object.fromEntries(new URLSearchParams(body))).toEqual({
      grant_type: 'password',
      scope: 'openid profile',
      username: 'u',
      password: 'pä&ss',
    })
  })

  it('exchanges the credentials of a client, and takes an id_token where that is wanted', async () => {
    const provider = await serveProvider()
    const auth = { ...account, accessTokenEndpoint: `${provider.url}/token`, openidScope: 'openid' }
    expectExchange(await signIn('v3oidcclientcredentials', auth), 'the-access-token')
    const idToken = { ...auth, accessTokenType: 'id_token' }
    expectExchange(await signIn('v3oidcclientcredentials', idToken), 'the-id-token')
    expect(Object.fromEntries(new URLSearchParams(provider.seen[0]?.body))).toEqual({
      grant_type: 'client_credentials',
      scope: 'openid',
    })
  })

  it('uses an access token that is there already', async () => {
    expectExchange(await signIn('v3oidcaccesstoken', { ...federated, accessToken: 'mine' }), 'mine')
  })

  it('keeps secrets out of what the provider and Keystone answer', async () => {
    const echo = await serve(({ headers, body }) => {
      const message = `${body} ${headers.authorization ?? ''} client secret s3cret&pass`
      return [401, { error: { message } }]
    })
    const auth = { ...account, authUrl: `${echo.url}/v3`, username: 'u', password: 's3cret&pass' }
    const endpoint = { accessTokenEndpoint: `${echo.url}/token` }
    const atProvider = createSession({ authType: 'v3oidcpassword', auth: { ...auth, ...endpoint } })
    const atKeystone = createSession({
      authType: 'v3oidcaccesstoken',
      auth: { ...auth, accessToken: 'mine-7' },
    })
    for (const session of [atProvider, atKeystone]) {
      const error = await tokenOf(session).catch((error: unknown) => error as Error)
      expect(error).toMatchObject({ code: 'AUTHENTICATION_FAILED' })
      expect((error as Error).message).toContain('answered 401')
      expect((error as Error).message).not.toMatch(/s3cret|client secret|mine-7|aWQlM0Ex/)
    }
  })

  it('says that the provider could not be reached', async () => {
    const auth = {
      ...account,
      authUrl: 'http://127.0.0.1:9/v3',
      accessTokenEndpoint: 'http://127.0.0.1:9/token?key=hidden',
    }
    const session = createSession({ authType: 'v3oidcclientcredentials', auth, retries: 0 })
    const error = await tokenOf(session).catch((error: unknown) => error as Error)
    expect(error).toMatchObject({ code: 'IDENTITY_UNREACHABLE', kind: 'failed' })
    expect((error as Error).message).toMatch(/http:\/\/127\.0\.0\.1:9 could not be reached: ECONNREFUSED/)
    expect((error as Error).message).not.toContain('hidden')
  })
})
