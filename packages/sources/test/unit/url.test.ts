import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { httpSource } from '@disk-image/sources'
import type { HttpSource, HttpSourceOptions } from '@disk-image/sources'
import { afterEach, describe, expect, it } from 'vitest'
import { failure, keeper } from '../helpers/keeper.ts'

const open: (Server | HttpSource)[] = []

/** A server that does what no honest one does. */
async function against(
  answer: (head: string, socket: Socket, request: number) => void,
  options: HttpSourceOptions = {},
  query = '',
): Promise<HttpSource> {
  let requests = 0
  const server = createServer((socket) => {
    let head = ''
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      head += bytes.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      answer(head, socket, (requests += 1))
      head = ''
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const source = httpSource(`http://127.0.0.1:${port}/disk.raw${query}`, {
    allow: { privateAddresses: true },
    retryDelayMs: 1,
    retries: 1,
    ...options,
  })
  open.push(server, source)
  return source
}

afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

const data = createHash('sha512').update('a').digest('hex').repeat(1000)
const head = (status: string, headers: Record<string, string | number>): string =>
  `HTTP/1.1 ${status}\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`
const partOf = (
  text: string,
  headers: Record<string, string | number> = {},
  from = 0,
  total = text.length,
): string =>
  head('206 Partial Content', {
    'Content-Length': total - from,
    'Content-Range': `bytes ${from}-${total - 1}/${total}`,
    ...headers,
  }) + text.slice(from)
const wholeOf = (text: string, headers: Record<string, string | number> = {}): string =>
  head('200 OK', { 'Content-Length': data.length, 'Accept-Ranges': 'bytes', ...headers }) + text
const fromOf = (request: string): number => Number(/^range: bytes=(\d+)-/im.exec(request)?.[1] ?? 0)

describe('a look at the first bytes', () => {
  it.each([
    [
      'all of it, where there is no more',
      (socket: Socket) => socket.end(head('200 OK', { 'Content-Length': 3 }) + 'abc'),
      1,
    ],
    [
      'in chunks',
      (socket: Socket) =>
        socket.end(`${head('200 OK', { 'Transfer-Encoding': 'chunked' })}1\r\na\r\n2\r\nbc\r\n0\r\n\r\n`),
      1,
    ],
  ])('%s', async (_what, answer, requests) => {
    let count = 0
    const source = await against((_request, socket, number) => {
      count = number
      answer(socket)
    })
    expect(Buffer.from(await source.peek(512)).toString()).toBe('abc')
    const sink = keeper()
    await source.download(sink)
    expect([sink.bytes().toString(), count]).toEqual(['abc', requests])
  })

  it('is one in the usual way where the answer is none of all, and says what is wrong', async () => {
    const part = await against((request, socket) =>
      socket.end(partOf(data, { ETag: '"1"' }, fromOf(request))),
    )
    expect(await part.peek(512)).toHaveLength(512)
    const none = await against((_request, socket) =>
      socket.end(head('404 Not Found', { 'Content-Length': 0 })),
    )
    expect(await failure(none.peek(512))).toMatchObject({ status: 404 })
    const cut = await against((_request, socket, count) =>
      socket.end(count === 1 ? wholeOf('abc') : partOf(data)),
    )
    expect(await cut.peek(512)).toHaveLength(512)
  })

  it('holds no more than that: what comes meanwhile waits, and an error of the sink is passed on', async () => {
    const source = await against((_request, socket) => socket.write(wholeOf(data)))
    await source.peek(512)
    const write = (): Promise<void> => Promise.reject(new Error('full'))
    await expect(source.download({ write })).rejects.toThrow('full')
  })
})

describe('a thing that changes between two answers', () => {
  it.each([
    ['ETag', { ETag: '"1"' }, { ETag: '"2"' }],
    ['ETag', { ETag: 'W/"1"' }, { ETag: 'W/"2"' }],
    [
      'Last-Modified',
      { 'Last-Modified': 'Mon, 01 Jan 2024 00:00:00 GMT' },
      { 'Last-Modified': 'Tue, 02 Jan 2024 00:00:00 GMT' },
    ],
  ])('by its %s is an error', async (name, before, after) => {
    const source = await against((request, socket, count) => {
      if (count === 1) socket.end(wholeOf(data.slice(0, 50_000), before))
      // It does not care for If-Range.
      else socket.end(/^range:/im.test(request) ? partOf(data, after, fromOf(request)) : wholeOf(data, after))
    })
    const error = await failure(source.download(keeper()))
    expect(error).toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
    expect(error.message).toContain(`its ${name} changed`)
  })

  it('by its length is an error', async () => {
    const source = await against((request, socket, count) => {
      if (count === 1) socket.end(wholeOf(data.slice(0, 50_000), { ETag: '"1"' }))
      else socket.end(partOf(`${data}x`, { ETag: '"1"' }, fromOf(request)))
    })
    expect((await failure(source.download(keeper()))).message).toContain('its length changed')
  })

  it('without anything that tells is read again and compared', async () => {
    const ranges: boolean[] = []
    const source = await against((request, socket, count) => {
      ranges.push(/^range:/im.test(request))
      socket.end(wholeOf(count === 1 ? data.slice(0, 50_000) : data.replace('a', 'b')))
    })
    const sink = keeper()
    expect((await failure(source.download(sink))).message).toContain('its first bytes are others now')
    expect(ranges).toEqual([false, false])
    expect(data.startsWith(sink.bytes().toString())).toBe(true)
  })

  it('is put together without anything that tells only where a checksum is compared', async () => {
    const ranges: boolean[] = []
    const source = await against((request, socket, count) => {
      ranges.push(/^range:/im.test(request))
      socket.end(count === 1 ? wholeOf(data.slice(0, 50_000)) : partOf(data, {}, fromOf(request)))
    })
    const value = createHash('sha256').update(data).digest('hex')
    const sink = keeper()
    await source.download(sink, { checksums: [{ algorithm: 'sha256', value }] })
    expect(sink.bytes().toString()).toBe(data)
    expect(ranges).toEqual([false, true])
  })

  it('between looking and fetching is an error', async () => {
    const source = await against((request, socket, count) => {
      socket.end(count === 1 ? partOf(data, { ETag: '"1"' }) : wholeOf(data, { ETag: '"2"' }))
    })
    await source.readRange(0, 100)
    const sink = keeper()
    expect((await failure(source.download(sink))).message).toContain('its ETag changed')
    expect(sink.sizeBytes).toBe(0)
  })
})

describe('a part that is not the one that was asked for', () => {
  it.each(['bytes 199999-0/9', 'bytes 5-8/9', 'items 0-8/9', 'bytes 0-8/8', 'bytes */9'])(
    '(%s) says nothing of the whole',
    async (range) => {
      const source = await against((request, socket, count) => {
        if (count === 1) {
          const headers = { 'Content-Length': 9, 'Content-Range': range, ETag: '"2"' }
          socket.end(head('206 Partial Content', headers) + data.slice(0, 9))
        } else socket.end(wholeOf(data, { ETag: '"1"' }))
      })
      const sink = keeper()
      await source.download(sink, { connections: 2 })
      expect(sink.bytes().toString()).toBe(data)
      expect(source.sizeBytes).toBe(data.length)
    },
  )
})

describe('what a server says of its bytes', () => {
  it('is compared', async () => {
    const md5 = createHash('md5').update(data).digest('base64')
    const good = await against((_, socket) => socket.end(wholeOf(data, { 'Content-MD5': md5 })))
    expect(await good.download(keeper())).toMatchObject({ verified: [{ algorithm: 'md5' }] })
    expect(good.promises).toHaveLength(1)
    const bad = await against((_, socket) =>
      socket.end(wholeOf(data.replace('a', 'b'), { 'Content-MD5': md5 })),
    )
    expect((await failure(bad.download(keeper()))).message).toContain('its source promises')
    const none = await against((_, socket) => socket.end(wholeOf(data, { 'Content-MD5': 'nonsense' })))
    expect(await failure(none.download(keeper()))).toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
  })

  it('and a length that is too long or too short never makes a whole', async () => {
    const long = await against((request, socket) => {
      if (fromOf(request) > 0) socket.end(head('416 Range Not Satisfiable', { 'Content-Length': 0 }))
      else socket.end(wholeOf(data, { 'Content-Length': data.length + 10, ETag: '"1"' }))
    })
    expect(await failure(long.download(keeper()))).toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
    const two = await against((_, socket) => {
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`)
    })
    expect(await failure(two.download(keeper()))).toMatchObject({
      code: expect.stringMatching(/FAILED/) as string,
    })
  })
})

describe('hostile answers', () => {
  it('of endless bodies end at the limit', async () => {
    const source = await against(
      (_, socket) => {
        const fill = (): void => {
          while (!socket.destroyed && socket.write(`10000\r\n${'x'.repeat(65_536)}\r\n`));
          if (!socket.destroyed) socket.once('drain', fill)
        }
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        fill()
      },
      { maximumBytes: 3_000_000 },
    )
    const sink = keeper()
    expect((await failure(source.download(sink))).message).toContain('3000000 bytes that are allowed')
    expect(sink.sizeBytes).toBeLessThanOrEqual(3_000_000)
    const announced = await against((_, socket) => socket.end(wholeOf(data)), { maximumBytes: 1000 })
    expect((await failure(announced.download(sink))).message).toContain('1000 bytes that are allowed')
  })

  it('in an encoding that nobody asked for are refused', async () => {
    const source = await against((_, socket) => socket.end(wholeOf(data, { 'Content-Encoding': 'gzip' })))
    expect((await failure(source.download(keeper()))).message).toContain('encoding')
  })

  it('do not get secrets into errors, and none is in a name', async () => {
    const logged: unknown[] = []
    const log = (...words: unknown[]): void => void logged.push(words)
    const source = await against(
      (request, socket) =>
        socket.end(`${head('503 No', { Connection: 'close', 'X-Request-Id': 'sig-0123456789' })}${request}`),
      {
        headers: { 'X-Token': 'token-0123456789' },
        basicAuth: { user: 'me', password: 'word-0123456789' },
        logger: { debug: log, info: log, warn: log, error: log },
      },
      '?X-Amz-Credential=AKIA0123456789&X-Amz-Signature=sig-0123456789',
    )
    const error = await failure(source.download(keeper()))
    const all = JSON.stringify([
      source.name,
      error.message,
      Object.entries(error),
      String(error.cause),
      logged,
    ])
    expect(all).toContain('503')
    expect(all).not.toMatch(/0123456789|bWU6d29yZ/)
  })
})

describe('what is asked for', () => {
  it('is refused where it can not be, without its secrets', () => {
    for (const url of ['ftp://host/x?secret', 'secret', 'http://', '/etc/secret']) {
      expect(() => httpSource(url)).toThrow(/An image is read from an http or https URL/)
    }
    expect(() => httpSource('https://me:secret@host/x')).toThrow(/^(?!.*secret).*give them apart from it/)
    for (const name of ['Range', 'Host', 'Content-Length', 'a b', 'If-Range']) {
      expect(() => httpSource('https://host/', { headers: { [name]: '1' } })).toThrow(/can't be given/)
    }
  })

  it('has the headers of the caller', async () => {
    let seen = ''
    const source = await against(
      (request, socket) => {
        seen = request
        socket.end(wholeOf(data))
      },
      { headers: { 'X-Token': 'abc' }, basicAuth: { user: 'me', password: 'p:w' } },
    )
    await source.download(keeper())
    expect(seen).toContain('X-Token: abc\r\n')
    expect(seen).toContain(`Authorization: Basic ${Buffer.from('me:p:w').toString('base64')}\r\n`)
    expect(seen).toContain('Accept-Encoding: identity\r\n')
  })
})
