import { unlessAborted } from '@disk-image/io'
import type { AddressGuard } from './addresses.ts'
import { AnswerBody } from './answer-body.ts'
import type { BodyTaker } from './answer-body.ts'
import { AddressRefusedError, ConnectionBrokenError, connectionReason, connectionText } from '../errors.ts'
import type { BrokenPhase } from '../errors.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { openConnection, wrapConnection } from './connection.ts'
import type { Connection, ConnectionUser, TlsOptions } from './connection.ts'
import { EndlessAnswersError, HeadReader, requestHead } from './http1.ts'
import type { ResponseHead } from './http1.ts'
import { chooseProxy, proxyRefusal, throughProxy, withoutLogin } from './proxy.ts'
import type { Proxy, ProxyOptions } from './proxy.ts'
import { sendBody } from './send-body.ts'
import type { RequestBody, SendHooks } from './send-body.ts'
import { watchIdle } from './timeouts.ts'
import type { IdleWatch, Timeouts } from './timeouts.ts'
import { openTunnel } from './tunnel.ts'

/** One request. */
export interface ExchangeRequest {
  readonly url: URL
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly headers: Readonly<Record<string, string>>
  readonly timeouts: Timeouts
  readonly tls?: TlsOptions | undefined
  readonly proxy?: ProxyOptions | undefined
  /** Where connections may go; one to a proxy is not asked about. */
  readonly guard?: AddressGuard | undefined
  /** Where the connection of a `GET` may come from, and where one goes that can be used again. */
  readonly connections?: ConnectionPool | undefined
  readonly signal?: AbortSignal | undefined
  /** A small body, sent with the head. */
  readonly text?: string | undefined
  /** A large one, in its place. */
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

/** More interim answers (1xx) than this are no conversation any more. */
export const maximumInterimAnswers = 256

/** A connection that was kept turned out to be closed before anything came of the answer. */
class StaleConnectionError extends Error {}

/** A request, and the proxy that it is handed to. */
type Hop = Omit<ExchangeRequest, 'proxy'> & { readonly proxy: Proxy | undefined }

/**
 * Runs one HTTP/1.1 request.
 *
 * @throws {AddressRefusedError} where the guard refuses where it leads
 * @throws {ConnectionBrokenError} where the connection fails or the answer is not HTTP
 * @throws what `takeBody` and its taker throw, as it is; after an abort the signal's reason
 */
export async function exchange(request: ExchangeRequest): Promise<ExchangeResult> {
  const { url, tls, timeouts, signal, guard } = request
  guard?.check(url)
  const proxy = chooseProxy(request.proxy, url)
  // A proxy connects itself: all that can be checked is what the name stands for here.
  if (proxy !== undefined && guard !== undefined) await checkName(guard, url, signal)
  const tunnel = proxy !== undefined && url.protocol === 'https:' ? proxy : undefined
  // A request on http is handed to its proxy, which sends it on.
  const hop: Hop = { ...request, proxy: tunnel === undefined ? proxy : undefined }
  // Of a kept connection nobody knows whether it still leads anywhere: what changes something gets a new one.
  const onlyReads = request.method === 'GET' || request.method === 'HEAD'
  const kept = onlyReads ? request.connections?.take(url) : undefined
  try {
    if (kept !== undefined) {
      try {
        return await new Exchange(hop, kept, true).run()
      } catch (error) {
        if (!(error instanceof StaleConnectionError)) throw error
      }
    }
    if (tunnel === undefined)
      return await new Exchange(hop, openConnection(url, tls, proxy, guard?.lookup), false).run()
    const options = { proxy: tunnel, tls, timeoutMs: timeouts.connectTimeoutMs, signal }
    return await new Exchange(hop, wrapConnection(await openTunnel(url, options)), false).run()
  } catch (error) {
    if (error instanceof ConnectionBrokenError && error.cause instanceof AddressRefusedError)
      throw error.cause
    throw hop.proxy === undefined ? error : throughProxy(error, url, hop.proxy)
  }
}

/** @throws {AddressRefusedError}; {@link ConnectionBrokenError} where the name is not known here */
async function checkName(guard: AddressGuard, url: URL, signal: AbortSignal | undefined): Promise<void> {
  try {
    await unlessAborted(guard.checkName(url), signal)
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof AddressRefusedError) throw error
    const reason = `its addresses are checked before the proxy is asked: ${connectionReason(error)}`
    throw new ConnectionBrokenError('connect', connectionText(url, 'connect', reason), { cause: error })
  }
}

/** A request on its connection: it is connected, then sent while the head is waited for, then the body is handed on. */
class Exchange implements ConnectionUser {
  readonly #request: Hop
  readonly #connection: Connection
  readonly #isKept: boolean
  readonly #outcome = Promise.withResolvers<ExchangeResult>()
  readonly #heads = new HeadReader(maximumInterimAnswers)
  #phase: BrokenPhase = 'connect'
  #settled = false
  #timer: NodeJS.Timeout | undefined
  #idle: IdleWatch | undefined
  #goAhead: (() => void) | undefined
  #bodyStarted = false
  #bodySent: boolean
  /** There from the moment at which the answer's head is. */
  #answer: AnswerBody | undefined

  constructor(request: Hop, connection: Connection, isKept: boolean) {
    this.#request = request
    this.#connection = connection
    this.#isKept = isKept
    this.#bodySent = request.body === undefined
  }

  run(): Promise<ExchangeResult> {
    const { signal, timeouts } = this.#request
    const { socket, ready } = this.#connection
    this.#connection.give(this)
    if (this.#isKept || ready === undefined) {
      this.#begin()
    } else {
      socket.once(ready, () => {
        socket.setNoDelay(true)
        this.#begin()
      })
      this.#limit(timeouts.connectTimeoutMs, `no connection within ${timeouts.connectTimeoutMs / 1000} s`)
    }
    if (signal?.aborted === true) this.#onAbort()
    else signal?.addEventListener('abort', this.#onAbort, { once: true })
    return this.#outcome.promise
  }

  #begin(): void {
    this.#send().catch((error: unknown) => this.#fail(error))
  }

  async #send(): Promise<void> {
    const { timeouts, body, text = '' } = this.#request
    const { socket } = this.#connection
    this.#phase = 'headers'
    this.#limit(timeouts.headersTimeoutMs, `no answer for ${timeouts.headersTimeoutMs / 1000} s`)
    // No data is complete with the headers: so its source must confirm it before.
    if (body?.size === 0) this.#bodySent = await sendBody(socket, body, this.#sendHooks())
    socket.write(requestHead(this.#request, this.#request.connections !== undefined) + text)
    if (body === undefined || body.size === 0) return
    if (body.expectsContinue !== false) await this.#continued(body)
    if (this.#isAnswered()) return
    clearTimeout(this.#timer)
    this.#phase = 'upload'
    this.#bodyStarted = true
    this.#watchIdle('no data was taken')
    const ended = await sendBody(socket, body, this.#sendHooks())
    if (this.#isAnswered() || !ended) return
    this.#bodySent = true
    this.#idle?.stop()
    const seconds = timeouts.storeTimeoutMs / 1000
    // All of it once more would wait as long for each try.
    this.#limit(timeouts.storeTimeoutMs, `no answer for ${seconds} s after the last byte`, true)
  }

  /** A server that knows nothing of `100 Continue` stays silent: it gets the body after a moment. */
  #continued({ continueTimeoutMs = 1000 }: RequestBody): Promise<void> {
    return new Promise((resolve) => {
      const patience = setTimeout(resolve, continueTimeoutMs)
      this.#goAhead = () => {
        clearTimeout(patience)
        resolve()
      }
    })
  }

  #sendHooks(): SendHooks {
    return {
      stopped: () => this.#isAnswered(),
      onSent: (bytes) => this.#idle?.count(bytes),
      whileReading: (reading) => (reading ? this.#idle?.pause() : this.#idle?.resume()),
    }
  }

  #isAnswered(): boolean {
    return this.#settled || this.#answer !== undefined
  }

  nextBuffer(): Uint8Array | undefined {
    return this.#answer?.nextBuffer()
  }

  onRead(bytes: Uint8Array): boolean {
    if (this.#settled) return false
    try {
      const wait = this.#answer === undefined ? this.#readHead(bytes) : this.#readBody(this.#answer, bytes)
      if (wait === undefined) return true
      this.#idle?.pause()
      wait.then(
        () => {
          this.#idle?.resume()
          if (!this.#settled) this.#connection.socket.resume()
          return undefined
        },
        (error: unknown) => this.#fail(error),
      )
    } catch (error) {
      const fatal = this.#phase === 'body' || error instanceof EndlessAnswersError
      if (error instanceof SyntaxError) this.#break(error.message, undefined, fatal)
      else this.#fail(error)
    }
    return false
  }

  #readHead(bytes: Uint8Array): Promise<void> | undefined {
    const { url, proxy, method } = this.#request
    const read = this.#heads.add(bytes, this.#goAhead)
    if (read === undefined) return undefined
    const { head, rest } = read
    clearTimeout(this.#timer)
    if (head.status === 407 && proxy !== undefined) throw proxyRefusal(url, proxy, 407)
    this.#phase = 'body'
    this.#answer = new AnswerBody(head, method === 'HEAD', (whole) => this.#request.takeBody(whole))
    this.#watchIdle('no data')
    return this.#readBody(this.#answer, Uint8Array.from(rest))
  }

  #readBody(answer: AnswerBody, bytes: Uint8Array): Promise<void> | undefined {
    const wait = answer.take(bytes, this.#idle)
    if (wait === undefined) this.#finishIf(answer.ended)
    return wait?.then(() => this.#finishIf(answer.ended))
  }

  onError(error: Error): void {
    this.#lose(connectionReason(error), error)
  }

  onEnd(): void {
    if (this.#answer?.wholeAtEnd === true) this.#finishIf(true)
    else this.#lose('the other side ended the connection')
  }

  onClose(): void {
    this.#lose('the connection was closed')
  }

  /** The connection has gone; of a kept one, before any answer, that means nothing. */
  #lose(reason: string, cause?: unknown): void {
    if (this.#isKept && this.#answer === undefined && this.#heads.empty)
      this.#fail(new StaleConnectionError())
    // A server that refuses a body half way closes at once: what it said until then is the answer.
    else if (this.#answer?.isRefusal === true) this.#finishIf(true)
    else this.#break(reason, cause)
  }

  readonly #onAbort = (): void => this.#fail(this.#request.signal?.reason)

  #limit(milliseconds: number, reason: string, fatal = false): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#break(reason, undefined, fatal), milliseconds)
  }

  #watchIdle(what: string): void {
    const { idleTimeoutMs, minimumBytesPerSecond } = this.#request.timeouts
    this.#idle?.stop()
    this.#idle = watchIdle(idleTimeoutMs, minimumBytesPerSecond, () =>
      this.#break(`${what} for ${idleTimeoutMs / 1000} s`),
    )
  }

  #break(reason: string, cause?: unknown, fatal = false): void {
    const message = connectionText(this.#request.url, this.#phase, reason)
    this.#fail(new ConnectionBrokenError(this.#phase, message, { cause, fatal }))
  }

  /** What a taker threw, or the signal's reason, is passed on as it is. */
  #fail(error: unknown): void {
    if (this.#settle(false)) this.#outcome.reject(error)
  }

  #finishIf(ended: boolean): void {
    const { body, proxy } = this.#request
    if (!ended || this.#answer === undefined) return
    const { head, isWhole, text } = this.#answer
    // What is still to be sent would come before the next request.
    const allSent = body === undefined && this.#connection.socket.writableLength === 0
    if (!this.#settle(isWhole && head.persistent && allSent)) return
    this.#outcome.resolve({
      ...withoutLogin(proxy, head, text),
      bodyStarted: this.#bodyStarted,
      bodySent: this.#bodySent,
      proxy: proxy?.url.origin,
    })
  }

  /** @returns false where it is settled already */
  #settle(reusable: boolean): boolean {
    if (this.#settled) return false
    this.#settled = true
    clearTimeout(this.#timer)
    this.#idle?.stop()
    this.#goAhead?.()
    const { signal, connections, url } = this.#request
    signal?.removeEventListener('abort', this.#onAbort)
    if (reusable && connections !== undefined) connections.keep(url, this.#connection)
    else this.#connection.socket.destroy()
    return true
  }
}
