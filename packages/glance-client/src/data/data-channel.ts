import type { Logger, RequestContext } from '@disk-image/core'
import type { BufferPool, HashPool } from '@disk-image/io'
import { httpError } from '../api/answer-errors.ts'
import type { GlanceImage } from '../api/answers.ts'
import { apiUrl, maximumRedirects, mayFollow, redirectTarget } from '../api/api.ts'
import type { Api } from '../api/api.ts'
import type { GlanceHttpError } from '../errors.ts'
import type { BodyTaker } from '../transport/answer-body.ts'
import { codingsOf } from '../transport/collected-body.ts'
import { ConnectionBrokenError, connectionText } from '../transport/connection-error.ts'
import type { ConnectionPool } from '../transport/connection-pool.ts'
import type { TlsOptions } from '../transport/connection.ts'
import { exchange } from '../transport/exchange.ts'
import type { ExchangeResult } from '../transport/exchange.ts'
import type { ResponseHead } from '../transport/http1.ts'
import { secretsOf } from '../transport/mask-secrets.ts'
import type { ProxyOptions } from '../transport/proxy.ts'
import type { RequestBody } from '../transport/send-body.ts'
import type { Timeouts } from '../transport/timeouts.ts'

/** What data transfers need of their client. */
export interface DataChannelOptions {
  readonly api: Api
  readonly timeouts: Timeouts
  readonly tls: TlsOptions | undefined
  readonly proxy: ProxyOptions | undefined
  readonly connections: ConnectionPool
  readonly hashPool: HashPool
  readonly buffers: BufferPool
  readonly logger: Logger
  /** How often in a row a transfer is tried without getting further. */
  readonly retries: number
  readonly show: (
    imageId: string,
    options: { context?: RequestContext | undefined; signal?: AbortSignal | undefined; retries?: number },
  ) => Promise<GlanceImage>
}

/** A request for an image's data, or with it. */
interface DataRequest {
  readonly method: 'GET' | 'PUT'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly context: RequestContext | undefined
  readonly signal: AbortSignal | undefined
  readonly body?: RequestBody | undefined
  takeBody(head: ResponseHead): BodyTaker | undefined
}

/** An answer to a {@link DataRequest}, with the error that it is if it is one. */
export interface DataResult extends ExchangeResult {
  readonly error: GlanceHttpError | undefined
  /** Whether a token that had ended was renewed when the body was already on its way: it may be sent again. */
  readonly renewed: boolean
}

/** Sends one data request; follows redirects within the origin, and renews a token that had ended, once. */
export async function sendData(options: DataChannelOptions, request: DataRequest): Promise<DataResult> {
  const { api, timeouts, tls, proxy, connections } = options
  let url = apiUrl(await api.endpoint(request.signal), { path: request.path })
  let renewed = false
  for (let redirects = 0; ;) {
    const authorization = await api.authorize(request.context, request.signal)
    const result = await exchange({
      url,
      method: request.method,
      headers: { ...request.headers, ...authorization.headers },
      timeouts,
      tls,
      proxy,
      connections,
      signal: request.signal,
      body: request.body,
      takeBody: (head) => plainTaker(url, head, request),
    })
    const { status, headers } = result.head
    const secrets = secretsOf(authorization.headers)
    const target =
      redirects < maximumRedirects && !result.bodyStarted && mayFollow(request.method, status)
        ? redirectTarget(url, status, headers.get('location'))
        : undefined
    if (target !== undefined) {
      redirects += 1
      url = target
    } else if (status === 401 && !renewed && (await api.renew(authorization, request.signal))) {
      renewed = true
      if (result.bodyStarted)
        return { ...result, renewed, error: errorOf(request.method, url, result, secrets) }
    } else {
      return { ...result, renewed: false, error: errorOf(request.method, url, result, secrets) }
    }
  }
}

function errorOf(
  method: string,
  url: URL,
  { head, text, proxy }: ExchangeResult,
  secrets: readonly string[],
): GlanceHttpError | undefined {
  const { status, headers } = head
  return status < 300 ? undefined : httpError(method, url, { status, headers, text, proxy }, secrets)
}

/** An image's data are hashed as they are, and continued at an offset: neither goes with a body that was encoded. */
function plainTaker(url: URL, head: ResponseHead, request: DataRequest): BodyTaker | undefined {
  const codings = codingsOf(head.headers)
  if (head.status >= 300 || codings.length === 0) return request.takeBody(head)
  const names = JSON.stringify(codings.join(', ').slice(0, 80))
  const reason = `the data come with the encoding ${names}, although none was asked for: something on the way compresses them`
  throw new ConnectionBrokenError('body', connectionText(url, 'body', reason), { fatal: true })
}

/**
 * Whether a 206 answers the question that was asked: from `start` to the image's end.
 *
 * @param size of the image, where it is known
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.4
 */
export function isRequestedRange(
  header: string | undefined,
  start: number,
  end: number | undefined,
  size: number | undefined,
): boolean {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(header ?? '')
  if (match === null) return false
  const [first, last, total] = [Number(match[1]), Number(match[2]), match[3] ?? '']
  if (first !== start || last < first) return false
  if (end !== undefined && last !== end) return false
  return size === undefined || total === '*' || Number(total) === size
}

/** The path of an image's data, with the stores to read it from. */
export function dataPath(imageId: string, preferStores: readonly string[] = []): string {
  const prefer = preferStores.map((store) => encodeURIComponent(store)).join(',')
  return `/v2/images/${encodeURIComponent(imageId)}/file${prefer === '' ? '' : `?prefer=${prefer}`}`
}
