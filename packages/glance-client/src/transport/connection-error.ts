/** How far a request had come when its connection failed. */
export type BrokenPhase = 'connect' | 'headers' | 'body' | 'upload'

/** One connection failed. Never leaves the package: it becomes the error of the operation. */
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
