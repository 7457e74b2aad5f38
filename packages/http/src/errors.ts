import { ImageError, InvalidError, printable } from '@disk-image/core'
import type { ImageErrorKind } from '@disk-image/core'

/** What is wrong stands in the configuration (a file, the environment, a client's options), not in the call. */
export class ConfigurationError extends InvalidError {
  override readonly code = 'CONFIGURATION'
}

/** A server could not be reached, or broke off before it sent data, as often as was tried. */
export class HttpConnectionFailedError extends ImageError {
  readonly code: string = 'HTTP_CONNECTION_FAILED'
  readonly kind: ImageErrorKind = 'failed'
  readonly reason: string

  constructor(init: { readonly reason: string; readonly message?: string; readonly cause?: unknown }) {
    super({ message: init.message ?? init.reason, cause: init.cause })
    this.reason = init.reason
  }
}

/** Init of {@link HttpStatusError}. The URL must be free of secrets. */
export interface HttpStatusErrorInit {
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

/** A server answered a request with an error for which there is no other class. */
export class HttpStatusError extends ImageError {
  readonly code: string = 'HTTP_STATUS'
  readonly kind: ImageErrorKind
  readonly status: number
  readonly method: string
  readonly url: string
  readonly detail: string
  /** The name that the service gave the request, to find it in its logs. */
  readonly requestId: string | undefined
  readonly retryAfterMs: number | undefined

  constructor(init: HttpStatusErrorInit) {
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

/** Which rule of an `AddressPolicy` refuses an address. */
export type AddressRule = 'scheme' | 'host' | 'port' | 'address' | 'downgrade' | 'credentials'

/** A URL, or a redirect, leads where requests may not go. Nothing was sent there. */
export class AddressRefusedError extends ImageError {
  readonly code = 'ADDRESS_REFUSED'
  readonly kind = 'refused'
  readonly rule: AddressRule
  readonly host: string
  readonly reason: string

  constructor(init: {
    readonly rule: AddressRule
    readonly host: string
    readonly reason: string
    readonly cause?: unknown
  }) {
    super({
      message: `Refused to connect to ${printable(init.host, 253)}: ${init.reason}`,
      cause: init.cause,
    })
    this.rule = init.rule
    this.host = init.host
    this.reason = init.reason
  }
}

/** What is downloaded is not what it was before. It becomes the error of the download, which says that. */
export class ReplacedError extends Error {
  override readonly name = 'ReplacedError'

  /** @param what of it is another now: `its ETag changed` */
  constructor(what: string) {
    super(`the image was replaced during the download: ${what}.`)
  }
}

/** How far a request had come when its connection failed. */
export type BrokenPhase = 'connect' | 'headers' | 'body' | 'upload'

/** One connection failed. It becomes the error of the operation, and reaches no user as it is. */
export class ConnectionBrokenError extends Error {
  override readonly name = 'ConnectionBrokenError'
  readonly phase: BrokenPhase
  /** Whether another try makes no sense: the answer itself is wrong. */
  readonly fatal: boolean

  constructor(phase: BrokenPhase, message: string, options: { cause?: unknown; fatal?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.phase = phase
    this.fatal = options.fatal ?? false
  }
}

/** Codes of Node, OpenSSL and undici, in words that say what to do. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/^ECONNREFUSED$/, 'nothing listens there'],
  [/^UND_ERR_SOCKET$/, 'the other side ended the connection'],
  [/^ENOTFOUND$/, 'no such host is known'],
  [
    /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+|CERT_UNTRUSTED|INVALID_CA)$/,
    'its certificate comes from no authority that is trusted: name the file of its authority as cacert (the option tls.ca), or switch the check off with insecure',
  ],
  [
    /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    'its certificate is for another host: use a host that it names, or switch the check off with insecure',
  ],
  [/^CERT_HAS_EXPIRED$/, 'its certificate has expired'],
  [/^CERT_NOT_YET_VALID$/, 'its certificate is not valid yet'],
  [
    /^ERR_SSL_[\w/]*ALERT_(?:CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_\w+)$/,
    'it refuses the certificate of this client, or misses one: give cert and key',
  ],
  [/^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/, 'it does not speak TLS: is it http?'],
]

/** The code of an error of Node or undici, or what else tells it apart. */
export function codeOf(error: unknown): string {
  const { code, message, name } = error as NodeJS.ErrnoException
  return code ?? (message === '' ? name : message)
}

/** Why a connection failed. */
export function connectionReason(error: unknown): string {
  const code = codeOf(error)
  const reason = reasons.find(([pattern]) => pattern.test(code))?.[1]
  return reason === undefined ? code : `${code}, ${reason}`
}

/** What failed where. Of the URL only scheme, host and port: the rest may be secret. */
export function connectionText(url: URL, phase: BrokenPhase, reason: string): string {
  return phase === 'connect' ? `${url.origin} could not be reached: ${reason}` : `${url.origin}: ${reason}`
}
