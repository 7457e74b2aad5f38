import type { Network, ServerSide } from './network.ts'
import type { Random } from './random.ts'
import type { Simulation } from './simulation.ts'

/** A request as a server has it. */
export interface SimulatedRequest {
  readonly method: string
  readonly path: string
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

/** What a server says. */
export interface SimulatedAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: Uint8Array | string | undefined
  /** The body comes in chunks, and its length isn't said. */
  readonly chunked?: boolean | undefined
  /** The answer ends after this many of its bytes, without a word. */
  readonly cutAt?: number | undefined
  /** It comes twice. */
  readonly twice?: boolean | undefined
  readonly close?: boolean | undefined
}

/** What a server does with a request; it may take its time. `undefined`: it never answers. */
export type SimulatedHandler = (
  request: SimulatedRequest,
  answer: (answer: SimulatedAnswer | undefined) => void,
) => void

const lastChunk = '0\r\n\r\n'

/** Serves HTTP/1.1 at an address; one request after the other on each connection. */
export function serveHttp(
  simulation: Simulation,
  network: Network,
  where: string,
  handler: SimulatedHandler,
): void {
  network.listen(where, (side) => {
    let bytes: Buffer = Buffer.alloc(0)
    let parts: Buffer[] = []
    let missing = 0
    /** Where a body in chunks is waited for: what came last. Reading from the start each time takes too long. */
    let tail: string | undefined
    let busy = false
    let continued = false
    const next = (): void => {
      if (busy || side.closed || missing > 0 || (tail ?? lastChunk) !== lastChunk) return
      bytes = Buffer.concat([bytes, ...parts])
      parts = []
      const read = readRequest(bytes)
      if (read === undefined) return
      if ('missing' in read) {
        missing = read.missing
        if (missing === 0) tail = bytes.toString('latin1', bytes.length - 5)
        if (read.waits && !continued) side.write(Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'))
        continued ||= read.waits
        return
      }
      continued = false
      tail = undefined
      bytes = read.rest
      busy = true
      handler(read.request, (answer) => {
        if (answer === undefined || side.closed) return
        const closes = send(side, answer, read.request.method === 'HEAD')
        busy = false
        if (!closes) simulation.at(0, `server ${where}`, next)
      })
    }
    return {
      onData: (more) => {
        parts.push(Buffer.from(more))
        missing -= more.length
        if (tail !== undefined) tail = `${tail}${Buffer.from(more.subarray(-5)).toString('latin1')}`.slice(-5)
        next()
      },
    }
  })
}

/** What must come before there is a request, and whether the client waits for `100 Continue`. */
interface Missing {
  readonly missing: number
  readonly waits: boolean
}

function readRequest(bytes: Buffer): { request: SimulatedRequest; rest: Buffer } | Missing | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const [method = '', path = ''] = first.split(' ')
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
  const start = end + 4
  const waits = headers.has('expect') && bytes.length === start
  if (headers.get('transfer-encoding') === 'chunked') {
    const read = readChunks(bytes.subarray(start))
    return read === undefined
      ? { missing: 0, waits }
      : { request: { method, path, headers, body: read.body }, rest: read.rest }
  }
  const length = Number(headers.get('content-length') ?? 0)
  if (bytes.length < start + length) return { missing: start + length - bytes.length, waits }
  const body = bytes.subarray(start, start + length)
  return { request: { method, path, headers, body }, rest: bytes.subarray(start + length) }
}

function readChunks(bytes: Buffer): { body: Buffer; rest: Buffer } | undefined {
  const parts: Buffer[] = []
  for (let at = 0; ;) {
    const end = bytes.indexOf('\r\n', at)
    if (end === -1) return undefined
    const length = Number.parseInt(bytes.toString('latin1', at, end), 16)
    const start = end + 2
    if (bytes.length < start + length + 2) return undefined
    parts.push(bytes.subarray(start, start + length))
    at = start + length + 2
    if (length === 0) return { body: Buffer.concat(parts), rest: bytes.subarray(at) }
  }
}

/** @returns whether the connection is closed behind it */
function send(side: ServerSide, answer: SimulatedAnswer, isHead: boolean): boolean {
  const body = Buffer.from(answer.body ?? '')
  const framing = answer.chunked === true ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
  const lines = Object.entries(answer.headers ?? {}).map(([name, value]) => `${name}: ${value}`)
  const closes = answer.close === true || answer.cutAt !== undefined
  const head = [`HTTP/1.1 ${answer.status} X`, framing, ...(closes ? ['Connection: close'] : []), ...lines]
  const parts = [Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1')]
  if (!isHead) {
    if (answer.chunked !== true) parts.push(body)
    else {
      if (body.length > 0)
        parts.push(Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n'))
      parts.push(Buffer.from('0\r\n\r\n'))
    }
  }
  const whole = Buffer.concat(parts)
  side.write(answer.cutAt === undefined ? whole : whole.subarray(0, answer.cutAt))
  if (answer.twice === true) side.write(whole)
  if (closes) side.end()
  return closes
}

/** What comes in an answer's place. @param lies the chance that it claims what is wrong */
export function wrongAnswer(
  simulation: Simulation,
  right: SimulatedAnswer,
  lies: number,
): SimulatedAnswer | undefined {
  const { random } = simulation
  const body = Buffer.from(right.body ?? '')
  if (random.chance(lies)) {
    return random.pick<() => SimulatedAnswer>([
      () => ({ ...right, body: flipBit(random, body) }),
      () => ({ ...right, body: body.subarray(0, random.below(body.length + 1)) }),
      () => ({ ...right, body: Buffer.concat([body, random.bytes(1 + random.below(50))]) }),
      () => ({ ...right, status: random.pick([200, 204, 206, 400, 404, 416, 304]) }),
      () => ({
        ...right,
        headers: { ...right.headers, 'Content-Range': `bytes ${random.below(9)}-${random.below(900)}/*` },
      }),
    ])()
  }
  const seconds = Math.floor(random.spread(1, 100))
  const retryAfter = random.pick<Readonly<Record<string, string>>>([
    {},
    { 'Retry-After': String(seconds) },
    {
      'Retry-After': new Date(Date.UTC(2030, 0, 1) + simulation.nowMs + seconds * 1000).toUTCString(),
    },
  ])
  return random.pick<() => SimulatedAnswer | undefined>([
    () => ({
      status: random.pick([401, 409, 429, 500, 502, 503, 503, 504]),
      headers: retryAfter,
      body: 'wait',
    }),
    () => ({ ...right, cutAt: random.below(200 + body.length) }),
    () => ({ ...right, twice: true }),
    () => ({ ...right, chunked: true }),
    () => ({ ...right, close: true }),
    () => ({ status: 302, headers: { Location: random.pick(['/elsewhere', 'http://10.9.9.9/', '']) } }),
    () => (right.status === 206 ? { status: 200, body: 'no ranges here' } : right),
    () => undefined,
  ])()
}

/** A copy with one wrong bit. */
export function flipBit(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  const at = random.below(Math.max(1, copy.length))
  if (copy.length > 0) copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}
