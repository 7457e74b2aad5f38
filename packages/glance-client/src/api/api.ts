import type { Logger, RequestContext } from '@disk-image/core'
import { ConnectionBrokenError, delay, isPassing, retryText, secretsOf } from '@disk-image/http'
import type { Http, HttpRequest, HttpResponse, Timeouts } from '@disk-image/http'
import { GlanceConnectionFailedError, GlanceHttpError } from '../errors.ts'
import type { Authorization, Session } from '../session/session.ts'
import { httpError, limitExceeded } from './answer-errors.ts'

/** One call of a service's REST interface. */
export interface ApiCall {
  readonly method: HttpRequest['method']
  /** Behind the endpoint, with the version: `/v2/images`. */
  readonly path: string
  readonly query?: readonly (readonly [string, string])[] | undefined
  readonly body?: unknown
  readonly contentType?: string | undefined
  readonly accept?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly context?: RequestContext | undefined
  readonly signal?: AbortSignal | undefined
  /** Whether it may be sent again when it is not known whether it arrived. @default GET, PUT and DELETE */
  readonly retryable?: boolean | undefined
  /** A retry that finds nothing means that the first try had arrived. */
  readonly goneIsDone?: boolean | undefined
  /** Retries instead of the configured number. */
  readonly retries?: number | undefined
  readonly timeoutMs?: number | undefined
  /** The longest answer. @default 1 MiB */
  readonly maximumBytes?: number | undefined
}

/** Settings of an {@link Api}. */
interface ApiOptions {
  readonly http: Http
  readonly session: Session
  readonly serviceType: string
  /** How often a call is retried at most. */
  readonly retries: number
  readonly retryDelayMs: number
  /** The longest wait that a service may ask for. */
  readonly maximumRetryDelayMs: number
  readonly timeouts: Pick<Timeouts, 'callTimeoutMs'>
  readonly logger: Logger
  /** Orders the endpoints at the beginning. */
  readonly shuffle: (endpoints: readonly string[]) => readonly string[]
  readonly requestHeaders?: ((context: RequestContext) => Readonly<Record<string, string>>) | undefined
}

/** Calls a service: finds it, signs in, tries the next endpoint or again, and turns errors into classes. */
export class Api {
  readonly #options: ApiOptions
  #endpoints: Promise<readonly string[]> | undefined
  #turn = 0

  constructor(options: ApiOptions) {
    this.#options = options
  }

  /** The endpoint whose turn it is. */
  async endpoint(signal?: AbortSignal): Promise<string> {
    const { session, serviceType, shuffle } = this.#options
    this.#endpoints ??= session.endpoints(serviceType, signal).then(shuffle)
    try {
      const endpoints = await this.#endpoints
      return endpoints[this.#turn % endpoints.length] ?? ''
    } catch (error) {
      this.#endpoints = undefined
      throw error
    }
  }

  /** Leaves an endpoint that failed. */
  nextEndpoint(): void {
    this.#turn += 1
  }

  async authorize(context: RequestContext | undefined, signal?: AbortSignal): Promise<Authorization> {
    const { session, requestHeaders } = this.#options
    const { headers } = await session.authorize(context, signal)
    return { headers: { ...headers, ...contextHeaders(context), ...requestHeaders?.(context ?? {}) } }
  }

  renew(used: Authorization, signal?: AbortSignal): Promise<boolean> {
    return this.#options.session.renew(used, signal)
  }

  /** How long to wait before a retry. */
  waitMs(attempt: number, retryAfter: number | undefined): number {
    const { retryDelayMs, maximumRetryDelayMs } = this.#options
    return Math.min(retryAfter ?? retryDelayMs * 2 ** attempt, maximumRetryDelayMs)
  }

  /** @throws {GlanceHttpError} for every status from 300 on; {@link GlanceConnectionFailedError} */
  async call(call: ApiCall): Promise<HttpResponse> {
    const { timeouts, logger } = this.#options
    const { retries = this.#options.retries, method, path, signal } = call
    const retryable = call.retryable ?? (method !== 'POST' && method !== 'PATCH')
    const budget = { endMs: performance.now() + timeouts.callTimeoutMs }
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#once(call, budget, false)
      } catch (error) {
        if (call.goneIsDone === true && attempt > 0 && isGone(error)) {
          return { status: 204, headers: new Map(), text: '', url: '' }
        }
        const again = attempt < retries && mayRetry(error, retryable)
        const wait = this.waitMs(attempt, error instanceof GlanceHttpError ? error.retryAfterMs : undefined)
        if (!again || performance.now() + wait >= budget.endMs) throw finalError(error)
        this.nextEndpoint()
        logger.warn(`Retrying ${retryText(error, wait, attempt + 1, retries)}`, { path })
        await delay(wait, signal)
      }
    }
  }

  async #once(call: ApiCall, budget: { endMs: number }, renewed: boolean): Promise<HttpResponse> {
    const { http, logger } = this.#options
    const { method, path, body, signal } = call
    const begunMs = performance.now()
    const base = await this.endpoint(signal)
    const url = apiUrl(base, call)
    const authorization = await this.authorize(call.context, signal)
    // Signing in has a separate limit.
    budget.endMs += performance.now() - begunMs
    const response = await follow(http, {
      method,
      url,
      headers: {
        accept: call.accept ?? 'application/json',
        ...(body === undefined ? {} : { 'content-type': call.contentType ?? 'application/json' }),
        ...call.headers,
        ...authorization.headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      timeoutMs: call.timeoutMs,
      limitMs: budget.endMs - performance.now(),
      maximumBytes: call.maximumBytes,
    })
    logger.debug('Called the service', { method, path, status: response.status })
    if (response.status === 401 && !renewed && (await this.renew(authorization, signal))) {
      return this.#once(call, budget, true)
    }
    if (response.status >= 300) throw httpError(method, url, response, secretsOf(authorization.headers))
    return response
  }
}

/** 429 and 503 say that nothing was done; otherwise a call whose fate is unknown is retried only if that does no harm. */
function mayRetry(error: unknown, retryable: boolean): boolean {
  if (error instanceof ConnectionBrokenError) {
    return !error.fatal && (retryable || error.phase === 'connect')
  }
  if (!(error instanceof GlanceHttpError)) return false
  return error.status === 429 || error.status === 503 || (retryable && isPassing(error.status))
}

function isGone(error: unknown): boolean {
  if (!(error instanceof GlanceHttpError)) return false
  // While it still deletes, Glance refuses to delete again.
  return error.status === 404 || /transition from (?:deleted|pending_delete)/.test(error.detail)
}

/** Errors that are the same for every call. */
function finalError(error: unknown): unknown {
  if (error instanceof GlanceHttpError && error.status === 413) {
    return limitExceeded(error)
  }
  if (error instanceof ConnectionBrokenError) {
    return new GlanceConnectionFailedError({ reason: error.message, cause: error })
  }
  // As in the original, a service that stays unavailable is one that can't be reached.
  if (error instanceof GlanceHttpError && isPassing(error.status) && error.status !== 429) {
    return new GlanceConnectionFailedError({ reason: error.message, cause: error })
  }
  return error
}

/** The URL of a call; a path from a reply (`next`) may only lead to where it came from. */
export function apiUrl(base: string, call: Pick<ApiCall, 'path' | 'query'>): URL {
  const url = new URL(`${base}${call.path}`)
  for (const [name, value] of call.query ?? []) url.searchParams.append(name, value)
  return url
}

/** Where a redirect leads, if to the same origin; nowhere else, for the token must not travel. */
export function redirectTarget(url: URL, status: number, location: string | undefined): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(status) || location === undefined) return undefined
  if (!URL.canParse(location, url.href)) return undefined
  const target = new URL(location, url)
  return target.origin === url.origin && target.username === '' ? target : undefined
}

export const maximumRedirects = 5

/** 307 and 308 mean the same request once more; the others mean that for what only reads. */
export function mayFollow(method: string, status: number): boolean {
  return method === 'GET' || status === 307 || status === 308
}

async function follow(http: Http, request: HttpRequest): Promise<HttpResponse> {
  let { url } = request
  for (let redirects = 0; ; redirects += 1) {
    const response = await http.send({ ...request, url })
    const { status, headers } = response
    const target =
      redirects < maximumRedirects && mayFollow(request.method, status)
        ? redirectTarget(url, status, headers.get('location'))
        : undefined
    if (target === undefined) return response
    url = target
  }
}

function contextHeaders(context: RequestContext | undefined): Record<string, string> {
  const id = context?.globalRequestId
  return id === undefined || !/^[\u0021-\u007e]{1,64}$/.test(id) ? {} : { 'X-OpenStack-Request-ID': id }
}
