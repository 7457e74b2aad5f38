import net from 'node:net'
import type { Socket } from 'node:net'
import tls from 'node:tls'
import { ConnectionBrokenError } from '../errors/connection-broken-error.ts'
import type { BrokenPhase } from '../errors/connection-broken-error.ts'
import { createBodyDecoder } from './body-decoder.ts'
import type { BodyDecoder } from './body-decoder.ts'
import { connectionReason, connectionText } from './connection-reason.ts'
import { watchIdle } from './idle-watch.ts'
import type { IdleWatch } from './idle-watch.ts'
import { framingOf, maximumHeadBytes, parseResponseHead } from './response-head.ts'
import type { ResponseHead } from './response-head.ts'
import { sendBody } from './send-body.ts'
import type { RequestBody } from './send-body.ts'
import type { Timeouts } from './timeouts.ts'
import { nodeTlsOptions } from './tls-options.ts'
import type { TlsOptions } from './tls-options.ts'

/** Takes a body. */
export interface BodyTaker {
  /** Takes the next part; a promise means: wait before the one after it. */
  take(bytes: Uint8Array): Promise<void> | undefined
  /** Memory that the next part is read into where that can be done; `take` then gets a view of its start. */
  room?(): Uint8Array | undefined
}

/** One request whose body or answer is an image's data. */
export interface ExchangeRequest {
  readonly url: URL
  readonly method: 'GET' | 'PUT'
  readonly headers: Readonly<Record<string, string>>
  readonly timeouts: Timeouts
  readonly tls?: TlsOptions | undefined
  readonly signal?: AbortSignal | undefined
  readonly body?: RequestBody | undefined
  /** Whether this answer's body is wanted, and by whom; undefined: it is collected as text, up to 64 KiB. */
  takeBody(head: ResponseHead): BodyTaker | undefined
}

/** An answer whose body is complete and taken. */
export interface ExchangeResult {
  readonly head: ResponseHead
  /** What was not taken, for errors. */
  readonly text: string
  /** Whether any of the request's body was read from its source. */
  readonly bodyStarted: boolean
  /** Whether the request's body was sent to its end. */
  readonly bodySent: boolean
}

const readBufferBytes = 256 * 1024
const maximumTextBytes = 64 * 1024

/**
 * Runs one HTTP/1.1 request on a connection of its own, reading a body into its taker's memory where there is
 * some, and otherwise into one buffer that is used again and again. A client that allocates every 64 KiB it reads
 * needs three times the processor time and twice the memory; copying into shared memory costs as much as hashing.
 *
 * @throws {ConnectionBrokenError} where the connection fails or the answer is not HTTP
 * @throws what `takeBody` and its taker throw, as it is; after an abort the signal's reason
 */
export function exchange(request: ExchangeRequest): Promise<ExchangeResult> {
  return new Promise((resolve, reject) => {
    const { timeouts, signal } = request
    const buffer = Buffer.allocUnsafeSlow(readBufferBytes)
    let memory: Uint8Array = buffer
    let phase: BrokenPhase = 'connect'
    let settled = false
    let timer: NodeJS.Timeout | undefined
    let idle: IdleWatch | undefined
    let headBytes = Buffer.alloc(0)
    let head: ResponseHead | undefined
    let decoder: BodyDecoder | undefined
    let taker: BodyTaker | undefined
    let text = ''
    let bodyStarted = false
    let bodySent = request.body === undefined
    let goAhead: (() => void) | undefined

    const settle = (act: () => void): void => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      idle?.stop()
      signal?.removeEventListener('abort', onAbort)
      socket.destroy()
      act()
    }
    const fail = (error: unknown): void =>
      settle(() => {
        // What the taker threw, or the signal's reason: passed on as it is.
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors
        reject(error)
      })
    const broken = (message: string, cause?: unknown, fatal = false): void =>
      fail(new ConnectionBrokenError(phase, connectionText(request.url, phase, message), { cause, fatal }))
    const onAbort = (): void => fail(signal?.reason)
    const limit = (milliseconds: number, message: string): void => {
      clearTimeout(timer)
      timer = setTimeout(() => broken(message), milliseconds)
    }
    const done = (): void => {
      if (head === undefined) return
      const result = { head, text, bodyStarted, bodySent }
      settle(() => resolve(result))
    }

    const onHead = (parsed: ResponseHead): void => {
      clearTimeout(timer)
      if (phase === 'headers') phase = 'body'
      head = parsed
      decoder = createBodyDecoder(framingOf(parsed))
      taker = request.takeBody(parsed) ?? textTaker
      idle?.stop()
      idle = watchIdle(timeouts.idleTimeoutMs, timeouts.minimumBytesPerSecond, () =>
        broken(`no data for ${timeouts.idleTimeoutMs / 1000} s`),
      )
    }
    const onHeadBytes = (bytes: Uint8Array): Promise<void> | undefined => {
      headBytes = Buffer.concat([headBytes, bytes])
      const end = headBytes.indexOf('\r\n\r\n')
      if (end === -1 || end > maximumHeadBytes) {
        if (headBytes.length > maximumHeadBytes) throw new SyntaxError('The answer has endless headers')
        return undefined
      }
      const rest = Uint8Array.from(headBytes.subarray(end + 4))
      const parsed = parseResponseHead(headBytes.toString('latin1', 0, end))
      headBytes = Buffer.alloc(0)
      if (parsed.status < 200) {
        if (parsed.status === 101) throw new SyntaxError('The answer changes the protocol')
        if (parsed.status === 100) goAhead?.()
        return rest.length === 0 ? undefined : onHeadBytes(rest)
      }
      onHead(parsed)
      return onBodyBytes(rest)
    }
    const textTaker: BodyTaker = {
      take: (part) => {
        if (text.length < maximumTextBytes) text += Buffer.from(part).toString('utf8')
        else if (decoder?.complete === false) done()
        return undefined
      },
    }
    const onBodyBytes = (bytes: Uint8Array): Promise<void> | undefined => {
      if (decoder === undefined) return undefined
      idle?.count(bytes.length)
      const parts = decoder.decode(bytes)
      const { take } = taker ?? textTaker
      const afterwards = (): void => {
        if (decoder?.complete === true) done()
      }
      for (let index = 0; index < parts.length; index += 1) {
        const wait = take(parts[index] ?? new Uint8Array())
        if (wait !== undefined) return takeRest(wait, parts.slice(index + 1), take).then(afterwards)
      }
      afterwards()
      return undefined
    }
    /** Returns false to stop reading until what was read is taken. */
    const onRead = (bytes: Uint8Array): boolean => {
      if (settled) return false
      try {
        const wait = head === undefined ? onHeadBytes(bytes) : onBodyBytes(bytes)
        if (wait === undefined) return true
        idle?.pause()
        wait.then(() => {
          idle?.resume()
          if (!settled) socket.resume()
          return undefined
        }, fail)
        return false
      } catch (error) {
        if (error instanceof SyntaxError) broken(error.message, undefined, head !== undefined)
        else fail(error)
        return false
      }
    }

    const send = async (): Promise<void> => {
      phase = 'headers'
      limit(timeouts.headersTimeoutMs, `no answer for ${timeouts.headersTimeoutMs / 1000} s`)
      const hooks = {
        stopped: () => settled || head !== undefined,
        onSent: (bytes: number) => idle?.count(bytes),
        whileReading: (reading: boolean) => (reading ? idle?.pause() : idle?.resume()),
      }
      // No data is complete with the headers: so its source must confirm it before.
      if (request.body?.size === 0) bodySent = await sendBody(socket, request.body, hooks)
      socket.write(requestHead(request))
      if (request.body === undefined || request.body.size === 0) return
      await new Promise<void>((continues) => {
        // A server that knows nothing of `100 Continue` stays silent: it gets the body after a moment.
        const patience = setTimeout(continues, request.body?.continueTimeoutMs ?? 1000)
        goAhead = () => {
          clearTimeout(patience)
          continues()
        }
      })
      if (settled || head !== undefined) return
      clearTimeout(timer)
      phase = 'upload'
      bodyStarted = true
      idle = watchIdle(timeouts.idleTimeoutMs, timeouts.minimumBytesPerSecond, () =>
        broken(`no data was taken for ${timeouts.idleTimeoutMs / 1000} s`),
      )
      const ended = await sendBody(socket, request.body, hooks)
      if (settled || head !== undefined || !ended) return
      bodySent = true
      idle?.stop()
      limit(timeouts.storeTimeoutMs, `no answer for ${timeouts.storeTimeoutMs / 1000} s after the last byte`)
    }

    const secure = request.url.protocol === 'https:'
    const where = {
      host: request.url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: Number(request.url.port) || (secure ? 443 : 80),
      onread: {
        // Asked before every read. A body in chunks has their sizes between its parts: it is not read in place.
        buffer: (): Uint8Array => (memory = (decoder?.inPlace === true && taker?.room?.()) || buffer),
        callback: (length: number): boolean => onRead(memory.subarray(0, length)),
      },
    }
    const socket: Socket = secure
      ? tls.connect({
          ...where,
          ...nodeTlsOptions(request.tls),
          ...(net.isIP(where.host) === 0 ? { servername: where.host } : {}),
        } as tls.ConnectionOptions)
      : net.connect(where)
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      socket.setNoDelay(true)
      send().catch(fail)
    })
    socket.on('error', (error) => broken(connectionReason(error), error))
    socket.once('end', () => {
      if (decoder?.wholeAtEnd === true) done()
      else broken('the other side ended the connection')
    })
    socket.once('close', () => broken('the connection was closed'))
    limit(timeouts.connectTimeoutMs, `no connection within ${timeouts.connectTimeoutMs / 1000} s`)
    if (signal?.aborted === true) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
  })
}

async function takeRest(
  wait: Promise<void>,
  parts: readonly Uint8Array[],
  take: BodyTaker['take'],
): Promise<void> {
  await wait
  for (const part of parts) {
    const next = take(part)
    if (next !== undefined) await next
  }
}

function requestHead({ url, method, headers, body }: ExchangeRequest): string {
  const all: Record<string, string> = { Host: url.host, Connection: 'close', ...headers }
  if (body !== undefined) {
    if (body.size === undefined) all['Transfer-Encoding'] = 'chunked'
    else all['Content-Length'] = String(body.size)
    if (body.size !== 0) all['Expect'] = '100-continue'
  }
  const lines = Object.entries(all).map(([name, value]) => {
    if (/[^\t\u0020-\u007e\u0080-\u00ff]/.test(value))
      throw new TypeError(`The header ${name} has a forbidden character`)
    return `${name}: ${value}\r\n`
  })
  return `${method} ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}\r\n`
}
