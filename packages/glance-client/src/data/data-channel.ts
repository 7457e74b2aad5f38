import type { Logger, RequestContext } from '@disk-image/core'
import { apiUrl, httpError, redirectTarget } from '../transport/api.ts'
import type { Api } from '../transport/api.ts'
import type { ConnectionPool } from '../transport/connection-pool.ts'
import { exchange } from '../transport/exchange.ts'
import type { ExchangeResult, BodyTaker } from '../transport/exchange.ts'
import type { ResponseHead } from '../transport/response-head.ts'
import type { RequestBody } from '../transport/send-body.ts'
import type { Timeouts } from '../transport/timeouts.ts'
import type { TlsOptions } from '../transport/tls-options.ts'
import type { GlanceImage } from '../glance-image.ts'
import type { ByteThreads } from '../hashing/byte-threads.ts'
import type { SlotPool } from '../hashing/slot-pool.ts'
import type { GlanceHttpError } from '../errors/glance-http-error.ts'

/** What data transfers need of their client. */
export interface DataChannelOptions {
  readonly api: Api
  readonly timeouts: Timeouts
  readonly tls: TlsOptions | undefined
  readonly connections: ConnectionPool
  readonly threads: ByteThreads
  readonly memory: SlotPool
  readonly logger: Logger
  /** How often in a row a transfer is tried without getting further. */
  readonly retries: number
  readonly show: (
    imageId: string,
    options: { context?: RequestContext | undefined; signal?: AbortSignal | undefined; retries?: number },
  ) => Promise<GlanceImage>
}

/** A request for an image's data, or with it. */
export interface DataRequest {
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
}

const maximumRedirects = 5

/** Sends one data request; follows redirects within the origin, and renews a token that had ended, once. */
export async function sendData(options: DataChannelOptions, request: DataRequest): Promise<DataResult> {
  const { api, timeouts, tls, connections } = options
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
      connections,
      signal: request.signal,
      body: request.body,
      takeBody: (head) => request.takeBody(head),
    })
    const { status, headers } = result.head
    const target =
      request.method === 'GET' && redirects < maximumRedirects
        ? redirectTarget(url, status, headers.get('location'))
        : undefined
    if (target !== undefined) {
      redirects += 1
      url = target
    } else if (
      status === 401 &&
      !renewed &&
      !result.bodyStarted &&
      (await api.renew(authorization, request.signal))
    ) {
      renewed = true
    } else {
      const error =
        status < 300 ? undefined : httpError(request.method, url, { status, headers, text: result.text })
      return { ...result, error }
    }
  }
}
