import { createHash, randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { createHttpClient, ReplacedError } from '@disk-image/http'
import type { DownloadOrigin, HttpClient, HttpClientOptions } from '@disk-image/http'
import { afterEach, describe, expect, it, test } from 'vitest'

/** Answers a request's head with bytes; undefined: it did so itself. */
type Answer = (head: string, socket: Socket) => string | Buffer | undefined

const servers: Server[] = []
const clients: HttpClient[] = []

async function serve(answer: Answer): Promise<URL> {
  const server = createServer((socket) => {
    let bytes = ''
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      bytes += chunk.toString('latin1')
      const end = bytes.indexOf('\r\n\r\n')
      if (end === -1) return
      const head = bytes.slice(0, end)
      bytes = ''
      const text = answer(head, socket)
      if (text !== undefined) socket.write(text)
    })
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
}

/** For servers of this machine, and patient for milliseconds. */
function clientOf(options: HttpClientOptions = {}): HttpClient {
  const client = createHttpClient({
    allow: { privateAddresses: true },
    retryDelayMs: 1,
    retries: 1,
    ...options,
  })
  clients.push(client)
  return client
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()))
  for (const server of servers.splice(0)) server.close()
})

const ok = (body: string, headers = ''): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`
const redirect = (location: string, status = 302): string =>
  `HTTP/1.1 ${status} Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`

async function failure(promise: Promise<unknown>): Promise<Record<string, unknown> & Error> {
  return promise.then(
    () => expect.fail('it succeeded'),
    (error: unknown) => error as Record<string, unknown> & Error,
  )
}

describe('redirects', () => {
  it('go on with all headers on the same origin, and with none that is secret or custom elsewhere', async () => {
    const seen: string[] = []
    const other = await serve((head) => {
      seen.push(head)
      return ok('there')
    })
    const first = await serve((head) => {
      seen.push(head)
      return head.startsWith('GET /again') ? redirect(`${other.href}x`) : redirect('/again')
    })
    const answer = await clientOf().read({
      url: first,
      headers: { Authorization: 'Bearer very-secret-token', 'X-Api': 'custom-secret', Accept: 'text/plain' },
    })
    expect(answer.text).toBe('there')
    expect(answer.finalUrl.origin).toBe(other.origin)
    expect(seen[1]).toContain('very-secret-token')
    expect(seen[2]).not.toMatch(/secret|x-api/i)
    expect(seen[2]).toContain('Accept: text/plain')
  })

  it('are not followed without end', async () => {
    let count = 0
    const url = await serve(() => redirect(`/${(count += 1)}`))
    const error = await failure(clientOf().read({ url }))
    expect(error.message).toMatch(/redirects more than 10 times/)
    expect(count).toBe(11)
  })

  it.each([
    ['a private address', 'http://169.254.169.254/', 'address'],
    ['its decimal spelling', 'http://2852039166/', 'address'],
    ['its mapped spelling', 'http://[::ffff:a9fe:a9fe]/', 'address'],
    ['another scheme', 'ftp://8.8.8.8/', 'scheme'],
    ['a file', 'file:///etc/passwd', 'scheme'],
    ['a URL with a login', 'http://user:hunter2@8.8.8.8/', 'credentials'],
  ])('to %s are refused', async (_, location, rule) => {
    const url = await serve(() => redirect(location))
    const allow = { privateAddresses: ['127.0.0.1'] }
    const error = await failure(clientOf({ allow }).read({ url }))
    expect(error).toMatchObject({ code: 'ADDRESS_REFUSED', rule })
    expect(error.message).not.toMatch(/hunter2/)
  })

  it('of what is not only read are answers', async () => {
    const url = await serve(() => redirect('/elsewhere', 307))
    const answer = await clientOf().send({ method: 'POST', url, text: 'x' })
    expect(answer.error).toMatchObject({ status: 307, code: 'HTTP_STATUS' })
  })
})

describe('names', () => {
  it('are resolved once for each connection, and the connection goes where was checked', async () => {
    const url = await serve(() => ok('yes', 'Connection: close\r\n'))
    const asked: string[] = []
    const client = clientOf({
      allow: { privateAddresses: ['127.0.0.1'] },
      resolver: async (host) => {
        asked.push(host)
        // What it says afterwards is for somebody else.
        return [{ address: asked.length === 1 ? '127.0.0.1' : '127.0.0.2', family: 4 }]
      },
    })
    const named = new URL(`http://rebinding.test:${url.port}/`)
    expect((await client.read({ url: named })).text).toBe('yes')
    expect(asked).toEqual(['rebinding.test'])
    const error = await failure(client.read({ url: named }))
    expect(error).toMatchObject({ code: 'ADDRESS_REFUSED', rule: 'address', host: 'rebinding.test' })
    expect(error.message).toContain('127.0.0.2')
  })

  it('of this machine are refused by default', async () => {
    const url = await serve(() => ok('secret'))
    const error = await failure(
      clientOf({ allow: {} }).read({ url: new URL(`http://localhost:${url.port}/`) }),
    )
    expect(error).toMatchObject({ code: 'ADDRESS_REFUSED', rule: 'address' })
  })

  it('behind a proxy are checked before it is asked', async () => {
    let asked = 0
    const proxy = await serve(() => {
      asked += 1
      return ok('through')
    })
    const client = clientOf({
      allow: {},
      proxy: { http: proxy.href },
      resolver: async (host) => {
        if (host === 'unknown.test') throw Object.assign(new Error('no'), { code: 'ENOTFOUND' })
        return [{ address: host === 'inside.test' ? '10.0.0.1' : '8.8.8.8', family: 4 }]
      },
    })
    const unknown = await failure(client.read({ url: new URL('http://unknown.test/') }))
    expect(unknown).toMatchObject({ code: 'HTTP_CONNECTION_FAILED' })
    expect(unknown.message).toContain('checked before the proxy is asked: ENOTFOUND')
    expect(await failure(client.read({ url: new URL('http://inside.test/') }))).toMatchObject({
      code: 'ADDRESS_REFUSED',
    })
    expect(asked).toBe(0)
    expect((await client.read({ url: new URL('http://outside.test/') })).text).toBe('through')
  })
})

describe('answers', () => {
  it('to HEAD have no body, whatever they announce', async () => {
    const url = await serve(() => 'HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n')
    const answer = await clientOf().send({ method: 'HEAD', url })
    expect(answer.head.headers.get('content-length')).toBe('5000000')
  })

  it('repeat no secret of the request', async () => {
    const url = await serve((head, socket) => {
      socket.end(`HTTP/1.1 403 No\r\nConnection: close\r\n\r\n${head}`)
      return undefined
    })
    url.search = '?X-Amz-Signature=0123456789abcdef0123456789abcdef&partNumber=1'
    const headers = { Authorization: 'Bearer very-secret-token', 'X-Custom': 'another-secret' }
    const error = await failure(clientOf().read({ url, headers }))
    expect(error).toMatchObject({ code: 'HTTP_STATUS', status: 403, kind: 'not-authorized' })
    const all = JSON.stringify([error.message, Object.entries(error)])
    expect(all).not.toMatch(/0123456789abcdef|very-secret|another-secret/)
  })

  it('of megabytes of headers, and endless ones, are not kept', async () => {
    const url = await serve((_, socket) => {
      const fill = (): void => {
        while (!socket.destroyed && socket.write(`X-Filler: ${'x'.repeat(8000)}\r\n`));
        if (!socket.destroyed) socket.once('drain', fill)
      }
      socket.write('HTTP/1.1 200 OK\r\n')
      fill()
      return undefined
    })
    expect((await failure(clientOf().read({ url }))).message).toMatch(/endless headers/)
  })

  it('that are longer than wanted are left', async () => {
    const url = await serve((_, socket) => {
      const fill = (): void => {
        while (!socket.destroyed && socket.write('x'.repeat(65_536)));
        if (!socket.destroyed) socket.once('drain', fill)
      }
      socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n')
      fill()
      return undefined
    })
    const error = await failure(clientOf().read({ url, maximumBytes: 100_000 }))
    expect(error.message).toMatch(/more than 100000 bytes/)
  })
})

/** A server of one thing, at an address that is known. */
function originAt(client: HttpClient, url: URL, more: Partial<DownloadOrigin> = {}): DownloadOrigin {
  return {
    name: 'thing',
    expected: undefined,
    fetch: (request) => client.fetchData(url, {}, request),
    ...more,
  }
}

const data = randomBytes(300_000)
const part = (from: number, to = data.length): string =>
  `HTTP/1.1 ${from === 0 ? '200 OK' : '206 Partial'}\r\nContent-Length: ${data.length - from}\r\nContent-Range: bytes ${from}-${data.length - 1}/${data.length}\r\nAccept-Ranges: bytes\r\n\r\n${data.toString('latin1', from, to)}`
const fromOf = (head: string): number => Number(/^range: bytes=(\d+)-/im.exec(head)?.[1] ?? 0)
const keeper = (): { write(chunk: Uint8Array): void; bytes(): Buffer } => {
  const parts: Buffer[] = []
  return { write: (chunk) => void parts.push(Buffer.from(chunk)), bytes: () => Buffer.concat(parts) }
}

describe('a download', () => {
  test('goes on where it was cut, and asks whether it is the same', async () => {
    const asked: number[] = []
    const url = await serve((head, socket) => {
      const from = fromOf(head)
      asked.push(from)
      const to = asked.length === 3 ? data.length : from + 70_000
      socket.end(Buffer.from(part(from, to), 'latin1'))
      return undefined
    })
    const client = clientOf()
    let checks = 0
    const checkSame = async (): Promise<void> => void (checks += 1)
    const sink = keeper()
    const expected = { id: 'thing', size: data.length }
    const report = await client.download(originAt(client, url, { expected, checkSame }), sink, {
      additionalHashes: ['sha256'],
    })
    expect(sink.bytes().equals(data)).toBe(true)
    expect(asked).toEqual([0, 70_000, 140_000])
    expect(checks).toBe(2)
    expect(report).toMatchObject({
      bytes: data.length,
      resumes: 2,
      additionalHashes: { sha256: createHash('sha256').update(data).digest('hex') },
    })
  })

  /** Sends a part, and then all of it; without ranges. */
  const serveTwice = (again: Buffer): Promise<URL> => {
    let count = 0
    return serve((_, socket) => {
      count += 1
      const head = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${data.length}\r\n\r\n`)
      socket.end(Buffer.concat([head, count > 1 ? again : data.subarray(0, 100_000)]))
      return undefined
    })
  }
  const wanted = { expected: { id: 'thing', size: data.length }, comparesAgain: true }

  test('without ranges leaves out what is there already', async () => {
    const url = await serveTwice(data)
    const client = clientOf()
    const sink = keeper()
    await client.download(originAt(client, url, wanted), sink)
    expect(sink.bytes().equals(data)).toBe(true)
  })

  test('without ranges compares what comes again, and hands on nothing of what is another', async () => {
    const changed = Buffer.from(data)
    changed[5] = (changed[5] ?? 0) ^ 1
    const url = await serveTwice(changed)
    const client = clientOf()
    const sink = keeper()
    const error = await failure(client.download(originAt(client, url, wanted), sink))
    expect(error).toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
    expect(error.message).toContain('its first bytes are others now')
    expect(sink.bytes().length).toBeLessThanOrEqual(100_000)
  })

  test('ends where it is another thing now', async () => {
    const url = await serve((head, socket) => {
      const from = fromOf(head)
      socket.end(Buffer.from(part(from, from + 1000), 'latin1'))
      return undefined
    })
    const client = clientOf()
    const origin = originAt(client, url, {
      expected: { id: 'thing', size: data.length },
      checkSame: async () => {
        throw new ReplacedError('its ETag changed')
      },
    })
    const error = await failure(client.download(origin, keeper()))
    expect(error).toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
    expect(error.message).toContain('its ETag changed')
  })

  test('of unknown length takes no part for the whole', async () => {
    let count = 0
    const url = await serve((_, socket) => {
      count += 1
      if (count === 1) socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n4\r\nef')
      else if (count === 2) {
        socket.end('HTTP/1.1 206 Partial\r\nContent-Length: 1\r\nContent-Range: bytes 6-6/9\r\n\r\ng')
      } else socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabcdefghi\r\n0\r\n\r\n')
      return undefined
    })
    const client = clientOf({ retries: 3 })
    const sink = keeper()
    await client.download(originAt(client, url), sink)
    expect(sink.bytes().toString()).toBe('abcdefghi')
  })

  test('that comes encoded is refused', async () => {
    const url = await serve(() => ok('abc', 'Content-Encoding: gzip\r\n'))
    const client = clientOf()
    const error = await failure(client.download(originAt(client, url), keeper()))
    expect(error.message).toMatch(/come with the encoding "gzip"/)
  })
})
