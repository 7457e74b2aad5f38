/**
 * Calls of a Glance client, each answered at random: wrong statuses, headers, lengths and chunks, interim answers,
 * floods, cuts, silence, drops, and what follows an answer. This is `pnpm fuzz http`.
 *
 * Each call ends in time, with what was asked for or an error of ours; data that are compared with a checksum are
 * right; and nothing that a server sent behind one answer is taken for the next one.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { createHash } from 'node:crypto'
import { ImageError } from '@disk-image/core'
import { createGlanceClient, type GlanceClient } from '@disk-image/glance-client'
import { fuzz } from '@disk-image/testing'

/** Every timeout of the client is shorter; a busy machine takes its time, too. */
const hangMs = 30_000
const mostEndlessBytes = 32 * 1024 ** 2

let state = 0
const next = (): number => {
  state = (state + 0x6d2b79f5) >>> 0
  let value = Math.imul(state ^ (state >>> 15), state | 1)
  value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
  return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
}
const below = (limit: number): number => Math.floor(next() * limit)
const chance = (probability: number): boolean => next() < probability
const pick = <Value>(values: readonly Value[]): Value => values[below(values.length)] as Value
const text = (bytes: string): Buffer => Buffer.from(bytes, 'latin1')

const data = Buffer.from(Uint8Array.from({ length: 150_000 }, (_, at) => (at * 7919) >>> 3))
const sha256 = createHash('sha256').update(data).digest('hex')
const record = {
  id: 'a',
  name: 'n',
  status: 'active',
  disk_format: 'raw',
  container_format: 'bare',
  size: data.length,
  os_hash_algo: 'sha256',
  os_hash_value: sha256,
  tags: ['t'],
  locations: [{ url: 'http://x/y', metadata: {} }],
}
const odd = [
  null,
  true,
  -1,
  0,
  1e308,
  2 ** 53,
  '',
  'x'.repeat(100_000),
  '\0',
  '../../etc/passwd',
  [],
  {},
  [[[]]],
]

/** A record, some fields of which are of another kind or not there. */
function oddRecord(): Record<string, unknown> {
  const fields: [string, unknown][] = Object.entries(record).map(([name, value]) => [
    name,
    chance(0.1) ? pick(odd) : value,
  ])
  if (chance(0.1)) fields.push([pick(['__proto__', 'constructor', 'next', 'links', 'schema']), pick(odd)])
  return Object.fromEntries(fields.filter(() => chance(0.97)))
}

function json(): Buffer {
  const list = {
    images: Array.from({ length: below(4) }, oddRecord),
    next: pick([undefined, '/v2/images?marker=a', 'http://other/v2/images', '', 7]),
  }
  const value = pick<unknown>([
    record,
    record,
    oddRecord(),
    oddRecord(),
    list,
    { members: [oddRecord()] },
    { stores: [oddRecord()] },
    { versions: [{ id: 'v2.9', status: 'CURRENT' }, oddRecord()] },
    pick(odd),
  ])
  const whole = Buffer.from(JSON.stringify(value))
  switch (below(12)) {
    case 0:
      return whole.subarray(0, below(whole.length))
    case 1:
      return text('['.repeat(1 + below(200_000)))
    case 2:
      return text('\xff\xfe{}')
    case 3:
      return Buffer.alloc(0)
    case 4:
      return flipped(whole)
    default:
      return whole
  }
}

function flipped(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes)
  for (let count = 1 + below(4); count > 0 && changed.length > 0; count -= 1) {
    changed[below(changed.length)] = below(256)
  }
  return changed
}

const statuses = [
  '200 OK',
  '200 OK',
  '200 OK',
  '200 OK',
  '201 Created',
  '202 Accepted',
  '204 No Content',
  '206 Partial Content',
  '206 P',
  '300 X',
  '301 X',
  '302 X',
  '304 X',
  '307 X',
  '400 X',
  '401 X',
  '403 X',
  '404 X',
  '409 X',
  '410 X',
  '413 X',
  '416 X',
  '417 X',
  '429 X',
  '500 X',
  '503 X',
  '599 X',
  '600 X',
  '999',
  '099 X',
  '20 X',
  '2000 X',
  '-1 X',
  'OK',
  '',
]
const extraHeaders = [
  'Retry-After: 0',
  'Retry-After: 99999999999',
  'Retry-After: -1',
  'Retry-After: Thu, 01 Jan 1970 00:00:00 GMT',
  'Location: /v2/images/b',
  'Location: file:///etc/passwd',
  'Location: http://[::1',
  'Location: ',
  'Content-MD5: x',
  'ETag: "x"',
  'Connection: close',
  'Connection: keep-alive, upgrade',
  'Upgrade: websocket',
  'Content-Type: text/html',
  ': nothing',
  'NoColon',
  'X : blank',
  ' folded',
  '\tfolded',
  'X: \0',
  'X: \r\r',
  'OpenStack-image-store-ids: ,,,',
  'OpenStack-image-size: -5',
  'Content-Range: bytes 0-1/2',
  'Content-Range: bytes 5-1/*',
  'Accept-Ranges: bytes',
  'Set-Cookie: a=b',
]

/** A body in chunks, some of them wrong. */
function chunked(body: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length;) {
    const chunk = body.subarray(at, at + 1 + below(50_000))
    at += chunk.length
    const size = chance(0.05)
      ? pick([
          'FFFFFFFFFFFFFFFF',
          '-1',
          '0x5',
          '',
          'g',
          '7fffffff',
          ' 5',
          '00000000000000000005',
          `5;${'x'.repeat(20_000)}`,
        ])
      : chunk.length.toString(16)
    const extension = chance(0.05) ? `;a="${'y'.repeat(below(3000))}"` : ''
    parts.push(
      text(`${size}${extension}\r\n`),
      chunk,
      text(chance(0.03) ? pick(['', '\n', 'xx', '\r']) : '\r\n'),
    )
  }
  const trailers = chance(0.1)
    ? pick(['X: y\r\n', 'X: y\r\n'.repeat(5000), 'Content-Length: 3\r\n', 'NoColon\r\n'])
    : ''
  parts.push(text(chance(0.1) ? pick(['', '0\r\n', '0', '1\r\n\r\n']) : `0\r\n${trailers}\r\n`))
  return Buffer.concat(parts)
}

function encoded(body: Buffer): readonly [Buffer, string] {
  switch (below(30)) {
    case 0:
      return [gzipSync(body), 'Content-Encoding: gzip']
    case 1:
      return [deflateSync(body), 'Content-Encoding: deflate']
    case 2:
      return [brotliCompressSync(body), 'Content-Encoding: br']
    case 3:
      return [body, `Content-Encoding: ${pick(['gzip', 'br', 'zstd', 'gzip, gzip, gzip', '', 'identity'])}`]
    case 4:
      return [gzipSync(Buffer.alloc(8 << 20)), 'Content-Encoding: gzip']
    default:
      return [body, '']
  }
}

/** An answer to what was asked, and what is wrong with it. */
function answer(request: string): Buffer {
  const isData = /^GET \S*\/file /.test(request)
  const [, from] = /^range: bytes=(\d+)-/im.exec(request) ?? []
  const first = Math.min(Number(from ?? 0), data.length)
  const isRight = chance(0.5)
  const right = isData ? data.subarray(first) : isRight ? Buffer.from(JSON.stringify(record)) : json()
  const [body, encoding] = encoded(isData && chance(0.1) ? flipped(right) : right)
  const status =
    isData && from !== undefined && isRight ? '206 Partial Content' : isRight ? '200 OK' : pick(statuses)
  const headers = [
    encoding,
    ...Array.from({ length: chance(isRight ? 0.05 : 0.3) ? 1 + below(3) : 0 }, () => pick(extraHeaders)),
  ]
  if (isData && from !== undefined) {
    headers.push(
      `Content-Range: bytes ${first}-${data.length - 1}/${chance(0.1) ? pick(['*', '5', '99999999', '']) : data.length}`,
    )
  }
  if (chance(0.01)) headers.push(`X: ${'y'.repeat(below(400_000))}`)
  if (chance(0.01)) headers.push(...Array.from({ length: below(20_000) }, (_, at) => `X-${at}: y`))
  const length =
    !isRight && chance(0.15)
      ? pick([0, 1, body.length - 1, body.length + 1, -1, 2 ** 53, 1e30, '+5', '5, 5', '0x10', '', 'x'])
      : body.length
  let sent = body
  switch (isRight ? pick([0, 7]) : below(8)) {
    case 0:
    case 1:
      headers.push('Transfer-Encoding: chunked')
      sent = chunked(body)
      if (chance(0.1)) headers.push(`Content-Length: ${length}`)
      break
    case 2:
      if (chance(0.3))
        headers.push(
          `Transfer-Encoding: ${pick(['identity', 'gzip, chunked', 'chunked, gzip', 'CHUNKED', 'x'])}`,
        )
      break
    case 3:
      headers.push(`Content-Length: ${length}`, `Content-Length: ${chance(0.5) ? length : 5}`)
      break
    default:
      headers.push(`Content-Length: ${length}`)
  }
  if (!isRight && chance(0.05)) sent = sent.subarray(0, below(sent.length + 1))
  const version = chance(0.03) ? pick(['HTTP/1.0', 'HTTP/2', 'HTTP/1.1 ', 'ICY', 'HTTP/9.9', '']) : 'HTTP/1.1'
  const line = chance(0.02) ? '\n' : '\r\n'
  const interim = chance(0.1)
    ? `HTTP/1.1 ${pick(['100', '102 X', '103 X\r\nLink: x', '101 X', '199 X'])}\r\n\r\n`.repeat(
        chance(0.1) ? 20_000 : 1 + below(3),
      )
    : ''
  const whole = Buffer.concat([
    text(
      `${interim}${version} ${status}${line}${headers.filter((one) => one !== '').join(line)}${line}${line}`,
    ),
    sent,
  ])
  return !isRight && chance(0.15) ? flipped(whole) : whole
}

const evil = JSON.stringify({ ...record, id: 'b', name: 'evil' })
const behind = text(`HTTP/1.1 200 OK\r\nContent-Length: ${evil.length}\r\n\r\n${evil}`)
const good = JSON.stringify({ ...record, id: 'b', name: 'good' })

/** Sends an answer at once, in pieces, slowly, in part, or without an end. */
async function send(socket: Socket, bytes: Buffer): Promise<void> {
  switch (below(24)) {
    case 0:
      for (let at = 0; at < bytes.length && !socket.destroyed; at += 1 + below(bytes.length)) {
        socket.write(bytes.subarray(at, at + 1 + below(3000)))
        await new Promise((resolve) => setTimeout(resolve, below(20)))
      }
      return
    case 1:
      for (let at = 0; at < bytes.length && !socket.destroyed; at += 1) {
        socket.write(bytes.subarray(at, at + 1))
        await new Promise((resolve) => setTimeout(resolve, 30))
      }
      return
    case 2:
      socket.write(bytes.subarray(0, below(bytes.length + 1)))
      if (chance(0.5)) socket.end()
      else socket.resetAndDestroy()
      return
    case 3: {
      if (chance(0.3)) return
      const piece = pick([
        bytes,
        text('x'.repeat(65_536)),
        text('X: y\r\n'.repeat(10_000)),
        text('\r\n'.repeat(30_000)),
      ])
      for (let sent = 0; sent < mostEndlessBytes && !socket.destroyed; sent += piece.length) {
        if (!socket.write(piece))
          await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => undefined)
      }
      return
    }
    default:
      socket.write(chance(0.15) ? Buffer.concat([bytes, behind]) : bytes)
      if (chance(0.2)) socket.end()
  }
}

const server = createServer((socket) => {
  let request = ''
  socket.on('error', () => undefined)
  socket.on('data', (bytes) => {
    request += bytes.toString('latin1')
    const end = request.indexOf('\r\n\r\n')
    if (end === -1) return
    // Answers may come before all was sent.
    const isWhole = /^(GET|DELETE|HEAD)/.test(request) || request.endsWith('0\r\n\r\n') || chance(0.3)
    const length = Number(/^content-length: (\d+)/im.exec(request)?.[1] ?? 0)
    if (!isWhole && request.length < end + 4 + length) return
    const asked = request
    request = ''
    if (asked.startsWith('GET /v2/images/b ')) {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${good.length}\r\n\r\n${good}`)
    } else void send(socket, answer(asked))
  })
})
await once(server.listen(0, '127.0.0.1'), 'listening')
const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

async function collect(items: AsyncIterable<unknown>): Promise<void> {
  for await (const item of items) void item
}

async function* bytes(length: number): AsyncGenerator<Uint8Array> {
  for (let left = length; left > 0; left -= 65_536) yield new Uint8Array(Math.min(left, 65_536))
}

const calls: Readonly<Record<string, (client: GlanceClient) => Promise<unknown>>> = {
  show: (client) => client.show('a'),
  list: (client) => collect(client.list({ limit: 50, pageSize: 10 })),
  versions: (client) => client.versions(),
  create: (client) => client.create({ name: 'n' }),
  patch: (client) => client.patch('a', [{ op: 'add', path: '/x', value: 'y' }]),
  update: (client) => client.update('a', { name: 'm' }),
  delete: (client) => client.delete('a'),
  members: (client) => client.listMembers('a'),
  stores: (client) => client.getStores({ detail: true }),
  usage: (client) => client.usage(),
  tasks: (client) => client.tasks('a'),
  locations: (client) => client.listLocations('a'),
  schema: (client) => client.schema('image'),
  wait: (client) => client.waitForImport('a', { intervalMs: 1, timeoutMs: 200 }),
  upload: (client) => client.upload('a', { size: 200_000, open: () => bytes(200_000) }),
  stage: (client) => client.stage('a', { open: () => bytes(100_000) }),
  readRange: async (client) => {
    const part = await client.readRange('a', 100, 5000)
    if (part.length > 5000) throw new Error(`${part.length} bytes were read instead of 5000.`)
  },
  read: (client) => collect(client.read('a')),
  download,
}

async function download(client: GlanceClient): Promise<void> {
  const parts: Uint8Array[] = []
  const sink = { write: (chunk: Uint8Array) => void parts.push(Uint8Array.from(chunk)) }
  const checksums = [{ algorithm: 'sha256', value: sha256 }]
  await client.download('a', sink, { checksums, connections: pick([1, 1, 3]) })
  if (!Buffer.concat(parts).equals(data)) throw new Error('The data are others than their checksum says.')
}

/** What a call ends with: a code, or that it is right. */
async function outcomeOf(call: Promise<unknown>): Promise<string> {
  let timer: NodeJS.Timeout | undefined
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`It did not end within ${hangMs} ms.`)), hangMs)
  })
  try {
    await Promise.race([call, hang])
    return 'right'
  } catch (error) {
    if (!ImageError.is(error)) throw error
    return error.code
  } finally {
    clearTimeout(timer)
  }
}

await fuzz(
  async (seed, counts) => {
    state = seed * 2_654_435_761
    next()
    const name = pick(Object.keys(calls))
    await using client = createGlanceClient({
      endpoint,
      retries: below(3),
      retryDelayMs: 1,
      maximumRetryDelayMs: 5,
      connectTimeoutMs: 2000,
      headersTimeoutMs: 300,
      callTimeoutMs: 1500,
      idleTimeoutMs: 300,
      stallTimeoutMs: 800,
      storeTimeoutMs: 400,
      totalTimeoutMs: 3000,
    })
    const outcome = await outcomeOf(Promise.resolve(calls[name]?.(client))).catch((error: unknown) => {
      throw new Error(`${name} ended otherwise than with an error of ours`, { cause: error })
    })
    // What comes late may break the next call, and is never its answer.
    const after = await client.show('b').catch((error: unknown) => {
      if (ImageError.is(error)) return undefined
      throw error
    })
    if (after !== undefined && after.name !== 'good')
      throw new Error(`After ${name}, what follows its answer was taken for the next one.`)
    counts[outcome] = (counts[outcome] ?? 0) + 1
  },
  { mostMiB: 600 },
)
server.close()
