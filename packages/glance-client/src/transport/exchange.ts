import { ConnectionBrokenError } from '../errors/connection-broken-error.ts'
import type { BrokenPhase } from '../errors/connection-broken-error.ts'
import { collectBody, type CollectedBody } from './collected-body.ts'
import { createBodyDecoder } from './body-decoder.ts'
import type { BodyDecoder } from './body-decoder.ts'
import { openConnection, wrapConnection } from './connection.ts'
import type { Connection } from './connection.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { connectionReason, connectionText } from './connection-reason.ts'
import { watchIdle } from './idle-watch.ts'
import type { IdleWatch } from './idle-watch.ts'
import { chooseProxy } from './proxy.ts'
import type { Proxy, ProxyOptions } from './proxy.ts'
import { proxyRefusal, throughProxy, withoutLogin } from './proxy-errors.ts'
import { framingOf, maximumHeadBytes, parseResponseHead } from './response-head.ts'
import type { ResponseHead } from './response-head.ts'
import { requestHead } from './request-head.ts'
import { sendBody } from './send-body.ts'
import type { RequestBody } from './send-body.ts'
import type { Timeouts } from './timeouts.ts'
import type { TlsOptions } from './tls-options.ts'
import { openTunnel } from './tunnel.ts'

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
  readonly proxy?: ProxyOptions | undefined
  /** Where a connection may come from, and go to afterwards. Absent, and with a body: one of its own. */
  readonly connections?: ConnectionPool | undefined
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
  /** The origin of the proxy that the request was handed to. The answer may be its own. */
  readonly proxy?: string | undefined
}

const maximumTextBytes = 64 * 1024
/** More interim answers (1xx) than this are no conversation any more. */
export const maximumInterimAnswers = 256

/** A connection that was kept turned out to be closed before anything came of the answer. */
class StaleConnectionError extends Error {}

/**
 * Runs one HTTP/1.1 request.
 *
 * @throws {ConnectionBrokenError} where the connection fails or the answer is not HTTP
 * @throws what `takeBody` and its taker throw, as it is; after an abort the signal's reason
 */
export async function exchange(request: ExchangeRequest): Promise<ExchangeResult> {
  const { url, tls, timeouts, signal } = request
  const proxy = chooseProxy(request.proxy, url)
  const tunnel = proxy !== undefined && url.protocol === 'https:' ? proxy : undefined
  // A request on http is handed to its proxy, which sends it on.
  const hop: Hop = { ...request, proxy: tunnel === undefined ? proxy : undefined }
  const kept = request.body === undefined ? request.connections?.take(url) : undefined
  try {
    if (kept !== undefined) {
      try {
        return await runExchange(hop, kept, true)
      } catch (error) {
        if (!(error instanceof StaleConnectionError)) throw error
      }
    }
    if (tunnel === undefined) return await runExchange(hop, openConnection(url, tls, proxy), false)
    const options = { proxy: tunnel, tls, timeoutMs: timeouts.connectTimeoutMs, signal }
    return await runExchange(hop, wrapConnection(await openTunnel(url, options)), false)
  } catch (error) {
    throw hop.proxy === undefined ? error : throughProxy(error, url, hop.proxy)
  }
}

/** A request, and the proxy that it is handed to. */
type Hop = Omit<ExchangeRequest, 'proxy'> & { readonly proxy: Proxy | undefined }

function runExchange(request: Hop, connection: Connection, isKept: boolean): Promise<ExchangeResult> {
  return new Promise((resolve, reject) => {
    const { timeouts, signal } = request
    const { socket } = connection
    let phase: BrokenPhase = 'connect'
    let settled = false
    let timer: NodeJS.Timeout | undefined
    let idle: IdleWatch | undefined
    let headBytes = Buffer.alloc(0)
    let head: ResponseHead | undefined
    let decoder: BodyDecoder | undefined
    let taker: BodyTaker | undefined
    const collected = collectBody(maximumTextBytes)
    let bodyStarted = false
    let bodySent = request.body === undefined
    let goAhead: (() => void) | undefined
    let interimAnswers = 0

    const settle = (reusable: boolean, act: () => void): void => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      idle?.stop()
      goAhead?.()
      signal?.removeEventListener('abort', onAbort)
      if (reusable && request.connections !== undefined) request.connections.keep(request.url, connection)
      else socket.destroy()
      act()
    }
    const fail = (error: unknown): void =>
      settle(false, () => {
        // What the taker threw, or the signal's reason: passed on as it is.
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors
        reject(error)
      })
    const broken = (message: string, cause?: unknown, fatal = false): void =>
      fail(new ConnectionBrokenError(phase, connectionText(request.url, phase, message), { cause, fatal }))
    /** What the socket tells; of a kept one, before any answer, it means nothing. */
    const lost = (message: string, cause?: unknown): void => {
      if (isKept && head === undefined && headBytes.length === 0) fail(new StaleConnectionError())
      // A server that refuses a body half way closes at once: what it said until then is the answer.
      else if (taker === textTaker && (head?.status ?? 0) >= 300) done()
      else broken(message, cause)
    }
    const onAbort = (): void => fail(signal?.reason)
    const limit = (milliseconds: number, message: string, fatal = false): void => {
      clearTimeout(timer)
      timer = setTimeout(() => broken(message, undefined, fatal), milliseconds)
    }
    const done = (): void => {
      if (head === undefined) return
      const words = taker === textTaker ? wordsOf(collected, head) : ''
      const result = {
        ...withoutLogin(request.proxy, head, words),
        bodyStarted,
        bodySent,
        proxy: request.proxy?.url.origin,
      }
      const whole = decoder?.complete === true && !decoder.surplus
      settle(whole && head.persistent && request.body === undefined, () => resolve(result))
    }

    const onHead = (parsed: ResponseHead): void => {
      clearTimeout(timer)
      if (parsed.status === 407 && request.proxy !== undefined) {
        throw proxyRefusal(request.url, request.proxy, 407)
      }
      phase = 'body'
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
      for (;;) {
        const end = headBytes.indexOf('\r\n\r\n')
        if (end === -1 || end > maximumHeadBytes) {
          if (headBytes.length > maximumHeadBytes) throw new SyntaxError('The answer has endless headers')
          return undefined
        }
        const rest = headBytes.subarray(end + 4)
        const parsed = parseResponseHead(headBytes.toString('latin1', 0, end))
        if (parsed.status >= 200) {
          headBytes = Buffer.alloc(0)
          onHead(parsed)
          return onBodyBytes(Uint8Array.from(rest))
        }
        if (parsed.status === 101) throw new SyntaxError('The answer changes the protocol')
        interimAnswers += 1
        if (interimAnswers > maximumInterimAnswers) {
          throw new SyntaxError('The answer has endless interim answers')
        }
        if (parsed.status === 100) goAhead?.()
        headBytes = rest
      }
    }
    const textTaker: BodyTaker = {
      take: (part) => {
        if (!collected.add(part) && decoder?.complete === false) done()
        return undefined
      },
    }
    const onBodyBytes = (bytes: Uint8Array): Promise<void> | undefined => {
      if (decoder === undefined) return undefined
      const parts = decoder.decode(bytes)
      // What frames a body is no progress.
      for (const part of parts) idle?.count(part.length)
      const reader = taker ?? textTaker
      const afterwards = (): void => {
        if (decoder?.complete === true) done()
      }
      for (let index = 0; index < parts.length; index += 1) {
        const wait = reader.take(parts[index] ?? new Uint8Array())
        if (wait !== undefined) return takeRest(wait, parts.slice(index + 1), reader).then(afterwards)
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

    /** A server that knows nothing of `100 Continue` stays silent: it gets the body after a moment. */
    const continued = ({ continueTimeoutMs = 1000 }: RequestBody): Promise<void> =>
      new Promise((resolveContinued) => {
        const patience = setTimeout(resolveContinued, continueTimeoutMs)
        goAhead = () => {
          clearTimeout(patience)
          resolveContinued()
        }
      })
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
      socket.write(requestHead(request, request.connections !== undefined))
      if (request.body === undefined || request.body.size === 0) return
      if (request.body.expectsContinue !== false) await continued(request.body)
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
      // All of it once more would wait as long for each try.
      limit(
        timeouts.storeTimeoutMs,
        `no answer for ${timeouts.storeTimeoutMs / 1000} s after the last byte`,
        true,
      )
    }

    connection.give({
      // A body in chunks has their sizes between its parts: it can't be read in place.
      room: () => (decoder?.inPlace === true ? taker?.room?.() : undefined),
      onRead,
      onError: (error) => lost(connectionReason(error), error),
      onEnd: () => {
        if (decoder?.wholeAtEnd === true) done()
        else lost('the other side ended the connection')
      },
      onClose: () => lost('the connection was closed'),
    })
    const begin = (): void => void send().catch(fail)
    if (isKept || connection.ready === undefined) {
      begin()
    } else {
      socket.once(connection.ready, () => {
        socket.setNoDelay(true)
        begin()
      })
      limit(timeouts.connectTimeoutMs, `no connection within ${timeouts.connectTimeoutMs / 1000} s`)
    }
    if (signal?.aborted === true) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** What a service says; where that can't be decoded, why. */
function wordsOf(collected: CollectedBody, { headers }: ResponseHead): string {
  try {
    return collected.text(headers)
  } catch (error) {
    if (error instanceof SyntaxError) return error.message
    throw error
  }
}

async function takeRest(wait: Promise<void>, parts: readonly Uint8Array[], reader: BodyTaker): Promise<void> {
  await wait
  for (const part of parts) {
    const next = reader.take(part)
    if (next !== undefined) await next
  }
}
