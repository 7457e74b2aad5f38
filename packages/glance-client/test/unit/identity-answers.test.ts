import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { ImageError } from '@disk-image/core'
import { createSession } from '@disk-image/glance-client'
import { afterEach, expect, it } from 'vitest'

const servers: { close(): void }[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

/** A Keystone that answers every request for a token so; without a status, never. */
async function keystone(
  status: number | undefined,
  headers: Record<string, string> = {},
  body = '{"error":{"message":"words of the service"}}',
): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((_, response) => {
    if (status !== undefined) response.writeHead(status, headers).end(body)
  })
  server.on('connection', (socket) => sockets.add(socket))
  servers.push({
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v3`
}

async function refusalOf(authUrl: string, options: object = {}): Promise<ImageError> {
  const session = createSession({
    auth: { authUrl, username: 'u', password: 'hunter2hunter2', userDomainId: 'd' },
    retries: 0,
    ...options,
  })
  const error = await session.endpoints('image').then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  )
  if (!ImageError.is(error)) throw error
  return error
}

it.each([
  [400, 'AUTHENTICATION_FAILED', 'not-authorized'],
  [401, 'AUTHENTICATION_FAILED', 'not-authorized'],
  [403, 'AUTHENTICATION_FAILED', 'not-authorized'],
  [404, 'CONFIGURATION', 'invalid'],
  [407, 'IDENTITY_UNREACHABLE', 'failed'],
  [429, 'IDENTITY_UNREACHABLE', 'failed'],
  [500, 'IDENTITY_UNREACHABLE', 'failed'],
  [502, 'IDENTITY_UNREACHABLE', 'failed'],
  [503, 'IDENTITY_UNREACHABLE', 'failed'],
  [200, 'CONFIGURATION', 'invalid'],
])('%i is told as %s', async (status, code, kind) => {
  const url = await keystone(status, { server: 'squid' })
  const error = await refusalOf(url)
  expect([error.code, error.kind]).toEqual([code, kind])
  expect(error.message).toContain(String(status))
  expect(error.message).toContain(new URL(url).origin)
  expect(/proxy on the way \(squid\)/.test(error.message)).toBe(status === 407 || status === 502)
})

it('nobody there, and nobody who answers, is no refusal', async () => {
  const gone = await refusalOf('http://127.0.0.1:9/v3')
  expect([gone.code, gone.kind]).toEqual(['IDENTITY_UNREACHABLE', 'failed'])
  const begun = performance.now()
  const frozen = await refusalOf(await keystone(undefined), { callTimeoutMs: 500, retries: 9 })
  expect([frozen.code, frozen.kind]).toEqual(['IDENTITY_UNREACHABLE', 'failed'])
  expect(performance.now() - begun).toBeLessThan(2000)
})

it('a redirect takes no password with it', async () => {
  const other = await keystone(200)
  const error = await refusalOf(await keystone(302, { location: `${other}/auth/tokens` }))
  expect([error.code, error.kind]).toEqual(['CONFIGURATION', 'invalid'])
  expect(error.message).toContain(`it redirects to ${new URL(other).origin}`)
})

it('a catalog of other types is a small catalog, and what is missing in it is the configuration’s', async () => {
  const token = { 'x-subject-token': 't' }
  for (const catalog of [7, 'x', [null, 1, { type: 5 }, { type: 'image', endpoints: 'abc' }], [[[]]]]) {
    const error = await refusalOf(await keystone(201, token, JSON.stringify({ token: { catalog } })))
    expect([error.code, error.kind]).toEqual(['CONFIGURATION', 'invalid'])
  }
  const endpoints = [{ interface: 'public', region: 'One\u202e', url: 'http://127.0.0.1:9' }]
  const body = JSON.stringify({ token: { catalog: [{ type: 'image', endpoints }] } })
  const wrong = await refusalOf(await keystone(201, token, body), { region: 'Two' })
  expect([wrong.code, wrong.kind]).toEqual(['CONFIGURATION', 'invalid'])
  expect(wrong.message).toMatch(/not in the region Two; it is in: One\\u202e/)
})
