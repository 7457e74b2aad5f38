import type { RequestContext } from '@disk-image/core'
import { exchange, refuseEncoded, secretsOf } from '@disk-image/http'
import type {
  BodyTaker,
  ConnectionPool,
  DownloadOrigin,
  DownloadTools,
  ExchangeResult,
} from '@disk-image/http'
import type { ProxyOptions, RequestBody, ResponseHead, TlsOptions } from '@disk-image/http'
import type { ExpectedImage } from '@disk-image/io'
import { httpError, imageError } from '../api/answer-errors.ts'
import type { GlanceImage } from '../api/answers.ts'
import { apiUrl, maximumRedirects, mayFollow, redirectTarget } from '../api/api.ts'
import type { Api } from '../api/api.ts'
import { GlanceConnectionFailedError } from '../errors.ts'
import type { GlanceHttpError } from '../errors.ts'

/** What data transfers need of their client. */
export interface DataChannelOptions extends DownloadTools {
  readonly api: Api
  readonly tls: TlsOptions | undefined
  readonly proxy: ProxyOptions | undefined
  readonly connections: ConnectionPool
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
      takeBody: (head) => {
        refuseEncoded(url, head)
        return request.takeBody(head)
      },
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

/** An image's data as a download has them: at the endpoint whose turn it is, with the context's token. */
export function dataOrigin(
  channel: DataChannelOptions,
  image: Pick<GlanceImage, 'id'> & ExpectedImage,
  options: {
    readonly context?: RequestContext | undefined
    readonly preferStores?: readonly string[] | undefined
  },
): DownloadOrigin {
  const { id: imageId } = image
  const prefer = (options.preferStores ?? []).map((store) => encodeURIComponent(store)).join(',')
  const path = `/v2/images/${encodeURIComponent(imageId)}/file${prefer === '' ? '' : `?prefer=${prefer}`}`
  return {
    name: imageId,
    expected: image,
    fetch: ({ range, signal, takeBody }) =>
      sendData(channel, {
        method: 'GET',
        path,
        headers: {
          Accept: 'application/json, application/octet-stream;q=0.9',
          ...(range === undefined ? {} : { Range: `bytes=${range.first}-${range.last ?? ''}` }),
        },
        context: options.context,
        signal,
        takeBody,
      }),
    nextServer: () => channel.api.nextEndpoint(),
    translate: (error) => imageError(imageId, error),
    unreachable: (reason, cause) => new GlanceConnectionFailedError({ reason, cause }),
  }
}
