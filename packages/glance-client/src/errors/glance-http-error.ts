import { ImageError } from '@disk-image/core'
import type { ImageErrorKind } from '@disk-image/core'

/** Init of {@link GlanceHttpError}. The URL must be free of secrets. */
export interface GlanceHttpErrorInit {
  readonly status: number
  readonly method: string
  readonly url: string
  /** What the service said, as plain text. */
  readonly detail: string
  readonly requestId?: string | undefined
  /** Who answered, where that was a proxy: the names that it gave itself. */
  readonly proxy?: string | undefined
  /** How long the service asked to wait. */
  readonly retryAfterMs?: number | undefined
  readonly cause?: unknown
}

/** A service answered a request with an error that has no class of its own. */
export class GlanceHttpError extends ImageError {
  readonly code = 'GLANCE_HTTP'
  readonly kind: ImageErrorKind
  readonly status: number
  readonly method: string
  readonly url: string
  readonly detail: string
  /** The service's `X-Openstack-Request-Id`, to find the request in its logs. */
  readonly requestId: string | undefined
  readonly retryAfterMs: number | undefined

  constructor(init: GlanceHttpErrorInit) {
    const from = init.proxy === undefined ? '' : ` from ${init.proxy}`
    const detail = init.detail === '' ? '' : `: ${init.detail}`
    super({
      message: `HTTP ${init.status}${from}${detail} (${init.method} ${init.url}${init.requestId === undefined ? '' : `, ${init.requestId}`})`,
      cause: init.cause,
    })
    this.kind = kindOf(init.status)
    this.status = init.status
    this.method = init.method
    this.url = init.url
    this.detail = init.detail
    this.requestId = init.requestId
    this.retryAfterMs = init.retryAfterMs
  }
}

/** Whose fault it is: a request that the service refuses as it is (4xx, redirects) will be refused again. */
function kindOf(status: number): ImageErrorKind {
  if (status === 401 || status === 403) return 'not-authorized'
  if (status === 404) return 'not-found'
  const mayPass = status === 408 || status === 425 || status === 429 || status >= 500 || status < 300
  return mayPass ? 'failed' : 'invalid'
}
