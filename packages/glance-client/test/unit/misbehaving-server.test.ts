import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { ImageError, silentLogger } from '@disk-image/core'
import { createGlanceClient } from '@disk-image/glance-client'
import type { GlanceClient, GlanceClientOptions } from '@disk-image/glance-client'
import { afterEach, describe, expect, it } from 'vitest'

/** What no real server does on demand. It answers with bytes. */
type Answer = (
  request: { method: string; path: string; head: string; body: number },
  socket: Socket,
) => string | Buffer | undefined

const record = { id: 'a', name: 'n', status: 'active', disk_format: 'raw', container_format: 'bare', size: 3 }
const opened: { server: Server; client: GlanceClient }[] = []

async function against(answer: Answer, options: Partial<GlanceClientOptions> = {}): Promise<GlanceClient> {
  const server = createServer((socket) => {
    let bytes = ''
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      bytes += chunk.toString('latin1')
      const end = bytes.indexOf('\r\n\r\n')
      if (end === -1) return
      const head = bytes.slice(0, end)
      // Whoever asks first sends nothing yet.
      const body = /^expect:/im.test(head) ? 0 : Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0)
      if (bytes.length < end + 4 + body) return
      bytes = bytes.slice(end + 4 + body)
      const [method = '', path = ''] = head.split(' ')
      const text = answer({ method, path, head, body }, socket)
      if (text !== undefined) socket.write(text)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const client = createGlanceClient({
    endpoint: `http://127.0.0.1:${port}`,
    retryDelayMs: 1,
    retries: 1,
    ...options,
  })
  opened.push({ server, client })
  return client
}

afterEach(async () => {
  for (const { server, client } of opened.splice(0)) {
    await client.close()
    server.close()
  }
})

function reply(body: string | Buffer, headers = '', status = '200 OK'): Buffer {
  const length = Buffer.byteLength(body)
  return Buffer.concat([
    Buffer.from(`HTTP/1.1 ${status}\r\nContent-Length: ${length}\r\n${headers}\r\n`),
    Buffer.from(body),
  ])
}

async function failure(call: Promise<unknown>): Promise<ImageError> {
  const error = await call.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  )
  if (!ImageError.is(error)) throw error
  return error
}

const upload = (client: GlanceClient, bytes: number): Promise<unknown> =>
  client.upload('a', {
    size: bytes,
    async *open() {
      for (let left = bytes; left > 0; left -= 65_536) yield new Uint8Array(Math.min(left, 65_536))
    },
  })

describe('interim answers', () => {
  it('a few are passed over', async () => {
    const few = 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'.repeat(20)
    const client = await against(() => few + reply(JSON.stringify(record)).toString())
    expect((await client.show('a')).size).toBe(3)
  })

  it.each(['100', '102 Processing', '103 Early Hints\r\nLink: </x>'])(
    'a flood of %s is no answer',
    async (line) => {
      const flood = `HTTP/1.1 ${line}\r\n\r\n`.repeat(200_000)
      const client = await against(() => flood + reply(JSON.stringify(record)).toString())
      const error = await failure(client.show('a'))
      expect(error.code).toBe('GLANCE_CONNECTION_FAILED')
      expect(error.message).toMatch(/endless interim answers/)
    },
  )

  it('nobody asked for are passed over before the answer to what is written, too', async () => {
    const calls: string[] = []
    const client = await against(({ method, body }) => {
      calls.push(`${method} ${body}`)
      const answer = method === 'DELETE' ? 'HTTP/1.1 204 No Content\r\n\r\n' : reply(JSON.stringify(record))
      return `HTTP/1.1 100 Continue\r\n\r\n${answer.toString()}`
    })
    expect(await client.create({ name: 'n' })).toMatchObject({ id: 'a' })
    expect(await client.patch('a', [{ op: 'add', path: '/x', value: 'ü' }])).toMatchObject({ id: 'a' })
    await client.deactivate('a')
    await client.addTag('a', 't')
    await client.delete('a')
    expect(calls).toEqual(['POST 12', 'PATCH 39', 'POST 0', 'PUT 0', 'DELETE 0'])
  })

  it('a flood is no answer to what is written either, and it is not asked for again', async () => {
    let asked = 0
    const client = await against(() => {
      asked += 1
      return 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(200_000)
    })
    for (const call of [() => client.create({}), () => client.delete('a')]) {
      expect((await failure(call())).message).toMatch(/endless interim answers/)
    }
    expect(asked).toBe(2)
  })

  it('a slow flood ends with the time for an answer', async () => {
    const client = await against(
      (_, socket) => {
        const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 20)
        socket.on('close', () => clearInterval(timer))
        return undefined
      },
      { headersTimeoutMs: 300, retries: 0 },
    )
    expect((await failure(client.show('a'))).message).toMatch(/no answer within 0.3 s/)
  })

  it('another protocol is not spoken', async () => {
    const client = await against(() => 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n')
    expect((await failure(client.show('a'))).message).toMatch(/changes the protocol/)
  })
})

describe('headers', () => {
  it('blanks in a header cost no time', async () => {
    const begun = performance.now()
    const client = await against(() => reply(JSON.stringify(record), `X: a${' '.repeat(60_000)}b\r\n`))
    await client.show('a')
    expect(performance.now() - begun).toBeLessThan(2000)
  })

  it('endless chunk extensions and trailers are refused', async () => {
    const body = JSON.stringify(record)
    const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
    const chunks = Array.from(body)
      .map((one) => `1;x=${'y'.repeat(4000)}\r\n${one}\r\n`)
      .join('')
    const extended = await against(() => `${head}${chunks}0\r\n\r\n`)
    expect((await failure(extended.show('a'))).message).toMatch(/endless chunk extensions/)
    const trailers = 'X: y\r\n'.repeat(20_000)
    const trailing = await against(
      () => `${head}${body.length.toString(16)}\r\n${body}\r\n0\r\n${trailers}\r\n`,
    )
    expect((await failure(trailing.show('a'))).message).toMatch(/endless trailers/)
  })
})

describe('encoded answers', () => {
  const text = JSON.stringify(record)
  it.each([
    ['gzip', gzipSync(text)],
    ['x-gzip', gzipSync(text)],
    ['GZIP, identity', gzipSync(text)],
    ['deflate', deflateSync(text)],
    ['deflate', deflateRawSync(text)],
    ['br', brotliCompressSync(text)],
    ['gzip, br', brotliCompressSync(gzipSync(text))],
    ['identity', Buffer.from(text)],
  ])('%s is decoded', async (name, body) => {
    const heads: string[] = []
    const client = await against(({ head }) => {
      heads.push(head)
      return reply(body, `Content-Encoding: ${name}\r\n`)
    })
    expect((await client.show('a')).name).toBe('n')
    expect(heads[0]).toMatch(/^Accept-Encoding: identity$/m)
  })

  it.each([
    ['exi', /"exi"/],
    ['gzip', /gzip/],
    ['gzip, gzip, gzip', /more than twice/],
  ])('%s that is none is refused by its name', async (name, words) => {
    const client = await against(() => reply(text, `Content-Encoding: ${name}\r\n`))
    expect((await failure(client.show('a'))).message).toMatch(words)
  })

  it('a bomb is not inflated', async () => {
    const client = await against(() => reply(gzipSync(Buffer.alloc(64 << 20)), 'Content-Encoding: gzip\r\n'))
    const before = process.memoryUsage().rss
    expect((await failure(client.show('a'))).message).toMatch(/endless/)
    expect(process.memoryUsage().rss - before).toBeLessThan(150 << 20)
  })

  it('data are not decoded: their hash and their offsets are of what the service has', async () => {
    const sink = { write: () => undefined }
    const client = await against(({ path }) =>
      path.endsWith('/file')
        ? reply(gzipSync('abc'), 'Content-Encoding: gzip\r\n')
        : reply(JSON.stringify(record)),
    )
    const error = await failure(client.download('a', sink))
    expect(error.message).toMatch(/encoding "gzip", although none was asked for/)
    expect(error.kind).toBe('failed')
  })
})

describe('uploads', () => {
  const asked = (head: string): boolean => /^expect:/im.test(head)

  it('417 is tried again without the question', async () => {
    const seen: boolean[] = []
    let size: number | null = null
    const client = await against(({ method, head, body }) => {
      if (method !== 'PUT') {
        return reply(JSON.stringify({ ...record, status: size === null ? 'queued' : 'active', size }))
      }
      seen.push(asked(head))
      if (asked(head)) return reply('', 'Connection: close\r\n', '417 Expectation Failed')
      size = body
      return 'HTTP/1.1 204 No Content\r\n\r\n'
    })
    await upload(client, 300_000)
    expect([seen, size]).toEqual([[true, false], 300_000])
  })

  it.each([
    ['403 Forbidden', 'IMAGE_NOT_AUTHORIZED', 'not-authorized'],
    ['409 Conflict', 'GLANCE_HTTP', 'invalid'],
    ['413 Request Entity Too Large', 'IMAGE_LIMIT_EXCEEDED', 'invalid'],
  ])('%s in the middle of the data is the answer', async (status, code, kind) => {
    const page = `<html><head><title>${status}</title></head><body><h1>${status}</h1>No more of that</body></html>`
    for (const early of [true, false]) {
      const client = await against(({ method }, socket) => {
        if (method !== 'PUT') return reply(JSON.stringify({ ...record, status: 'queued', size: null }))
        socket.pause()
        if (!early) socket.write('HTTP/1.1 100 Continue\r\n\r\n')
        setTimeout(
          () => {
            socket.write(reply(page, 'Content-Type: text/html\r\nConnection: close\r\n', status), () =>
              socket.destroy(),
            )
          },
          early ? 0 : 100,
        )
        return undefined
      })
      const error = await failure(upload(client, 64 << 20))
      expect([error.code, error.kind]).toEqual([code, kind])
      expect(error.message).toContain(`HTTP ${status.slice(0, 3)}`)
      expect(error.message).toContain('No more of that')
      expect(error.message).toContain('http://127.0.0.1:')
    }
  })
})

describe('what a service says about an error', () => {
  const token = 'gAAAAABmXk9Q0123456789abcdefghijklmnop'

  it('has no token in it, wherever it was repeated', async () => {
    const client = await against(
      () =>
        reply(
          `<html><pre>X-Auth-Token: ${token.replaceAll('A', '&#65;')}</pre>${token.slice(0, 25)}</html>`,
          `X-Openstack-Request-Id: req-${token}\r\n`,
          '400 Bad Request',
        ),
      { session: undefined, requestHeaders: () => ({ 'X-Auth-Token': token }) },
    )
    const error = await failure(client.show('a'))
    const everything = [
      error.stack,
      (error.cause as Error).stack,
      JSON.stringify(error),
      String(error.cause),
    ].join()
    expect(everything).not.toMatch(/gAAAAABmXk9Q|&#65;/)
    expect(everything).toContain('***')
  })

  it('can’t be obeyed by a terminal', async () => {
    const client = await against(() =>
      reply(JSON.stringify({ message: 'a\u001b[2J\u202eb\u009b' }), '', '400 Bad Request'),
    )
    expect((await failure(client.show('a'))).message).toMatch(/a \[2J\\u202eb/)
  })

  it('has no login of a proxy in it either', async () => {
    const login = 'hunter2 & co'
    const echo: Answer = ({ head }) => {
      const [, basic = ''] = /^proxy-authorization: basic (\S+)/im.exec(head) ?? []
      const plain = Buffer.from(basic, 'base64').toString()
      return reply(
        `${basic} ${plain} ${encodeURIComponent(plain)}`,
        `Via: ${plain}\r\n`,
        '504 Gateway Timeout',
      )
    }
    const direct = await against(echo)
    const proxy = (await failure(direct.show('a'))).message.match(/127\.0\.0\.1:\d+/)?.[0] ?? ''
    const client = createGlanceClient({
      endpoint: 'http://glance.example',
      proxy: { http: `http://user:${encodeURIComponent(login)}@${proxy}` },
      retries: 0,
    })
    for (const call of [() => client.show('a'), () => client.create({})]) {
      const error = await failure(call())
      expect(`${error.stack} ${String((error.cause as Error).stack)}`).not.toMatch(/hunter2|aHVudGVyM|bnRlcj/)
      expect(error.message).toContain('***')
      expect(error.message).toContain(`the proxy http://${proxy}`)
    }
    await client.close()
  })

  it('names the proxy that answered, and where a redirect leads', async () => {
    const gateway = await against(() =>
      reply('', 'Server: nginx/1.22\r\nVia: 1.1 cache\r\n', '502 Bad Gateway'),
    )
    const broken = await failure(gateway.show('a'))
    expect([broken.code, broken.kind]).toEqual(['GLANCE_CONNECTION_FAILED', 'failed'])
    expect(broken.message).toMatch(/HTTP 502 from a proxy on the way \(1\.1 cache, nginx\/1\.22\)/)
    const elsewhere = await against(() =>
      reply('', 'Location: https://other.example/v2?token=x\r\n', '301 Moved Permanently'),
    )
    const moved = await failure(elsewhere.show('a'))
    expect([moved.code, moved.kind]).toEqual(['GLANCE_HTTP', 'invalid'])
    expect(moved.message).toMatch(
      /301: it redirects to https:\/\/other\.example, where nothing secret is sent/,
    )
    expect(moved.message).not.toMatch(/token=/)
    for (const target of ['javascript:alert(1)', 'file:///etc/passwd', 'http://[']) {
      const nowhere = await against(() => reply('', `Location: ${target}\r\n`, '302 Found'))
      expect((await failure(nowhere.show('a'))).message).toMatch(
        /302: it redirects to what is no http or https URL/,
      )
    }
  })
})

describe('JSON', () => {
  const bytesOf = async (act: () => Promise<unknown>): Promise<number> => {
    const before = process.memoryUsage().rss
    await act()
    return process.memoryUsage().rss - before
  }

  it.each([
    ['deep', `{"id":"a","x":${'['.repeat(500_000)}${']'.repeat(500_000)}}`, /nested more than 64/],
    ['deep in objects', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`, /nested more than 64/],
    ['of very many values', `{"id":"a","x":[${'[],'.repeat(300_000)}1]}`, /more than 200000 values/],
    ['too long', `{"id":"a","x":"${'y'.repeat(2 << 20)}"}`, /more than 1048576 bytes/],
    ['cut', '{"id":"a","na', /no JSON/],
    ['HTML', '<html>\u001b[2J</html>', /no JSON/],
    ['a list', '[1]', /no JSON object/],
    ['a text', '"a"', /no JSON object/],
    ['nothing', '', /no JSON/],
  ])('a record that is %s is refused in few words', async (_, text, words) => {
    const client = await against(() => reply(text))
    const grown = await bytesOf(async () => {
      const error = await failure(client.show('a'))
      expect(error.message).toMatch(words)
      expect(error.message.length).toBeLessThan(300)
      expect(['GLANCE_ANSWER', 'GLANCE_CONNECTION_FAILED']).toContain(error.code)
    })
    expect(grown).toBeLessThan(200 << 20)
  })

  it('brackets in texts are no nesting', async () => {
    const client = await against(() => reply(JSON.stringify({ ...record, name: '[{"\\'.repeat(100) })))
    expect((await client.show('a')).name).toBe('[{"\\'.repeat(100))
  })

  it('a body of one-byte chunks costs no more than its bytes', async () => {
    const text = JSON.stringify({ ...record, name: 'x'.repeat(900_000) })
    const chunks = Array.from(text, (one) => `1\r\n${one}\r\n`).join('')
    const client = await against(
      () => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`,
    )
    expect(await bytesOf(() => client.show('a'))).toBeLessThan(150 << 20)
  })

  it.each([
    ['size', '"10"'],
    ['size', '-1'],
    ['size', '1.5'],
    ['size', '1e300'],
    ['size', '9007199254740993'],
    ['size', '[3]'],
    ['virtual_size', '"1"'],
    ['min_disk', '"x"'],
    ['id', '7'],
    ['id', 'null'],
    ['status', '{}'],
    ['name', '["a"]'],
    ['os_hash_value', '1'],
    ['tags', '"a"'],
  ])('a record whose %s is %s is refused by show, list, create and download', async (name, value) => {
    const fields = Object.entries({ ...record, [name]: null }).map(([key, one]) =>
      key === name ? `"${key}":${value}` : `"${key}":${JSON.stringify(one)}`,
    )
    const bad = `{${fields.join(',')}}`
    const client = await against(({ path, method }) =>
      reply(path === '/v2/images' && method === 'GET' ? `{"images":[${bad}]}` : bad),
    )
    const all = async (): Promise<void> => {
      for await (const image of client.list()) expect(image).toBeUndefined()
    }
    for (const call of [
      () => client.show('a'),
      all,
      () => client.create({}),
      () => client.download('a', { write: () => undefined }),
    ]) {
      const error = await failure(call())
      expect(error.code).toBe('GLANCE_ANSWER')
      expect(error.message).toContain(`its ${name} is `)
    }
  })

  it('lists of stores, members and tasks have objects with an id', async () => {
    const client = await against(({ path }) =>
      reply(path.endsWith('stores') ? '{"stores":[{"id":1}]}' : '{"members":7,"tasks":[null]}'),
    )
    for (const call of [() => client.getStores(), () => client.listMembers('a'), () => client.tasks('a')]) {
      expect((await failure(call())).code).toBe('GLANCE_ANSWER')
    }
  })
})

describe('pages', () => {
  const collect = async (client: GlanceClient): Promise<number> => {
    let count = 0
    for await (const image of client.list()) count += image.id.length > 0 ? 1 : 0
    return count
  }
  const page = (next: unknown, ids: readonly string[] = ['a']): Buffer =>
    reply(JSON.stringify({ images: ids.map((id) => ({ id })), next }))

  it('that lead round in circles, are empty, or lead nowhere end', async () => {
    for (const next of ['/v2/images?marker=a', 7, null, {}]) {
      expect(await collect(await against(() => page(next)))).toBeLessThanOrEqual(2)
    }
    let asked = 0
    const empty = await against(() => page(`/v2/images?marker=${(asked += 1)}`, []))
    expect(await collect(empty)).toBe(0)
  })

  it('of another origin are asked for at this one', async () => {
    const paths: string[] = []
    const client = await against(({ path }) => {
      paths.push(path)
      return page(paths.length === 1 ? 'http://169.254.169.254/latest?marker=a' : undefined)
    })
    await collect(client)
    expect(paths).toEqual(['/v2/images', '/v2/images?marker=a'])
  })

  it('without end are given up', { timeout: 60_000 }, async () => {
    let asked = 0
    const client = await against(() => page(`/v2/images?marker=${(asked += 1)}`))
    const error = await failure(collect(client))
    expect([error.code, asked]).toEqual(['GLANCE_ANSWER', 2001])
    const ids = Array.from({ length: 200 }, (_, index) => `${index}`.padEnd(250, 'x'))
    const large = await against(() =>
      page(`/v2/images?marker=${(asked += 1)}`, [...ids, ...ids, ...ids, ...ids]),
    )
    expect((await failure(collect(large))).message).toMatch(/pages don’t end/)
  })
})

it('data of unknown length end with their last chunk, or are refused where nothing says their end', async () => {
  const download = async (answer: string): Promise<unknown> => {
    const client = await against(({ path }, socket) => {
      if (!path.endsWith('/file')) return reply(JSON.stringify({ ...record, size: null }))
      socket.end(`HTTP/1.1 200 OK\r\n${answer}`)
      return undefined
    })
    return client.download('a', { write: () => undefined }, { verify: 'none' })
  }
  const chunked = 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'
  expect(await download(chunked)).toMatchObject({ bytes: 3, resumes: 0 })
  expect(await download('Content-Length: 3\r\n\r\nabc')).toMatchObject({ bytes: 3 })
  await expect(download('\r\nabc')).rejects.toThrow(/says how long the data is/)
})

it('a log tells each retry in a sentence: what happens, when, how often still, and why', async () => {
  const lines: string[] = []
  const logger = { ...silentLogger, warn: (message: string) => void lines.push(message) }
  let asked = 0
  const client = await against(
    ({ path }, socket) => {
      asked += 1
      if (asked === 1) return reply('', '', '503 Service Unavailable')
      if (!path.endsWith('/file')) return reply(JSON.stringify(record))
      if (asked > 3)
        return 'HTTP/1.1 206 Partial\r\nContent-Range: bytes 1-2/3\r\nContent-Length: 2\r\n\r\nbc'
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na')
      return undefined
    },
    { logger, retryDelayMs: 1000, maximumRetryDelayMs: 10 },
  )
  await client.download('a', { write: () => undefined })
  expect(lines).toEqual([
    expect.stringMatching(/^Retrying in 0\.01 s \(1 of 1\): HTTP 503 /),
    expect.stringMatching(
      /^Resuming the download at byte 1 now: http:.*: the other side ended the connection$/,
    ),
  ])
})

describe('a frozen server', () => {
  it('is given up within the time of a call, with all retries', async () => {
    const options = { headersTimeoutMs: 400, callTimeoutMs: 600, retries: 5, retryDelayMs: 10 }
    const client = await against(() => undefined, options)
    const begun = performance.now()
    const error = await failure(client.show('a'))
    expect(performance.now() - begun).toBeLessThan(1500)
    expect([error.code, error.kind]).toEqual(['GLANCE_CONNECTION_FAILED', 'failed'])
    const posting = performance.now()
    await failure(client.create({}))
    expect(performance.now() - posting).toBeLessThan(1500)
  })

  it.each([
    '99999999999999',
    '999999999',
    '-5',
    'Fri, 31 Dec 9999 23:59:59 GMT',
    'soon',
    '1e9',
    'x'.repeat(9999),
  ])('Retry-After: %.20s is not obeyed for longer than that', async (value) => {
    const client = await against(() => reply('', `Retry-After: ${value}\r\n`, '503 Service Unavailable'), {
      callTimeoutMs: 500,
      retries: 3,
    })
    const begun = performance.now()
    await failure(client.show('a'))
    expect(performance.now() - begun).toBeLessThan(1500)
  })

  it('that takes all of an upload and does not answer is not sent it again', async () => {
    let sent = 0
    const client = await against(
      ({ method }) => {
        if (method !== 'PUT') return reply(JSON.stringify({ ...record, status: 'queued', size: null }))
        sent += 1
        return undefined
      },
      { storeTimeoutMs: 300, retries: 3 },
    )
    const error = await failure(upload(client, 1000))
    expect([error.code, sent]).toEqual(['IMAGE_UPLOAD_FAILED', 1])
    expect(error.message).toMatch(/no answer for 0.3 s after the last byte; the image is queued/)
  })

  it('that drips data is given up, too', async () => {
    const client = await against(
      ({ path }, socket) => {
        if (!path.endsWith('/file')) return reply(JSON.stringify({ ...record, size: 1_000_000 }))
        const timer = setInterval(() => socket.write('x'), 20)
        socket.on('close', () => clearInterval(timer))
        return 'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n'
      },
      { idleTimeoutMs: 300, stallTimeoutMs: 1000, retries: 50 },
    )
    const begun = performance.now()
    await failure(client.download('a', { write: () => undefined }))
    expect(performance.now() - begun).toBeLessThan(4000)
  })
})
