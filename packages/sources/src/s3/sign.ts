import { createHash, createHmac } from 'node:crypto'

/** A key of AWS, or of whoever speaks its protocol. */
export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Of credentials that end by themselves. */
  readonly sessionToken?: string | undefined
}

/** A request as it is signed. */
export interface SignableRequest {
  readonly method: string
  /** Its path must be encoded as {@link encodeKey} does it: it is signed as it stands. */
  readonly url: URL
  /** Those that are signed, beside `host`. */
  readonly headers: Readonly<Record<string, string>>
  /** Hex SHA-256 of the body, or `UNSIGNED-PAYLOAD`. */
  readonly payloadHash: string
}

/** By whom, when and for whom a request is signed. */
export interface SigningScope {
  readonly credentials: S3Credentials
  readonly region: string
  readonly service: string
  readonly date: Date
}

/** SHA-256 of nothing. */
export const emptyPayloadHash: string = createHash('sha256').digest('hex')

const algorithm = 'AWS4-HMAC-SHA256'

/**
 * The header `Authorization` of a request.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
export function authorizationOf(request: SignableRequest, scope: SigningScope): string {
  const signed = signedHeaders(request)
  const query = [...request.url.searchParams]
  const signature = signatureOf(request, query, signed, scope)
  const credential = `${scope.credentials.accessKeyId}/${scopeName(scope)}`
  return `${algorithm} Credential=${credential}, SignedHeaders=${namesOf(signed)}, Signature=${signature}`
}

/** The headers of a GET or HEAD to S3, signed. @param headers further ones that are signed */
export function signS3Request(
  method: 'GET' | 'HEAD',
  url: URL,
  headers: Readonly<Record<string, string>>,
  scope: Omit<SigningScope, 'service'>,
): Record<string, string> {
  const { sessionToken } = scope.credentials
  const all = {
    ...headers,
    'x-amz-content-sha256': emptyPayloadHash,
    'x-amz-date': timeOf(scope.date),
    ...(sessionToken === undefined ? {} : { 'x-amz-security-token': sessionToken }),
  }
  const request = { method, url, headers: all, payloadHash: emptyPayloadHash }
  return { ...all, Authorization: authorizationOf(request, { ...scope, service: 's3' }) }
}

/**
 * A URL by which anybody may GET an object for a while. It is a secret.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
 */
export function presignS3Url(url: URL, expiresSeconds: number, scope: Omit<SigningScope, 'service'>): URL {
  const whole = { ...scope, service: 's3' }
  const { accessKeyId, sessionToken } = scope.credentials
  const query: [string, string][] = [
    ...url.searchParams,
    ['X-Amz-Algorithm', algorithm],
    ['X-Amz-Credential', `${accessKeyId}/${scopeName(whole)}`],
    ['X-Amz-Date', timeOf(scope.date)],
    ['X-Amz-Expires', String(expiresSeconds)],
    ['X-Amz-SignedHeaders', 'host'],
    ...(sessionToken === undefined ? [] : [['X-Amz-Security-Token', sessionToken] as [string, string]]),
  ]
  const request = { method: 'GET', url, headers: {}, payloadHash: 'UNSIGNED-PAYLOAD' }
  const signature = signatureOf(request, query, signedHeaders(request), whole)
  const presigned = new URL(url)
  presigned.search = `?${canonicalQuery(query)}&X-Amz-Signature=${signature}`
  return presigned
}

/** A key, or a name or value of a query, as it is signed: every byte but letters, digits and `-._~`. */
export function encodeKey(key: string, keepSlashes = true): string {
  const encoded = encodeURIComponent(key).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return keepSlashes ? encoded.replaceAll('%2F', '/') : encoded
}

/** As in `20130524T000000Z`. */
function timeOf(date: Date): string {
  return date.toISOString().replaceAll(/[-:]|\.\d+/g, '')
}

function scopeName({ date, region, service }: SigningScope): string {
  return `${timeOf(date).slice(0, 8)}/${region}/${service}/aws4_request`
}

type Pairs = readonly (readonly [name: string, value: string])[]

function signedHeaders({ url, headers }: SignableRequest): Pairs {
  const all = Object.entries({ host: url.host, ...headers })
  return sorted(all.map(([name, value]) => [name.toLowerCase(), value.trim().replaceAll(/ +/g, ' ')]))
}

function namesOf(headers: Pairs): string {
  return headers.map(([name]) => name).join(';')
}

function canonicalQuery(query: Pairs): string {
  const encoded = query.map(([name, value]) => [encodeKey(name, false), encodeKey(value, false)] as const)
  return sorted(encoded)
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

/** By the bytes of the name, then of the value. */
function sorted(pairs: Pairs): Pairs {
  const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
  return pairs.toSorted(([a, first], [b, second]) => order(a, b) || order(first, second))
}

function signatureOf(request: SignableRequest, query: Pairs, headers: Pairs, scope: SigningScope): string {
  const canonical = [
    request.method,
    request.url.pathname,
    canonicalQuery(query),
    ...headers.map(([name, value]) => `${name}:${value}`),
    '',
    namesOf(headers),
    request.payloadHash,
  ].join('\n')
  const hash = createHash('sha256').update(canonical).digest('hex')
  const text = [algorithm, timeOf(scope.date), scopeName(scope), hash].join('\n')
  const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest()
  const day = hmac(`AWS4${scope.credentials.secretAccessKey}`, timeOf(scope.date).slice(0, 8))
  const key = hmac(hmac(hmac(day, scope.region), scope.service), 'aws4_request')
  return hmac(key, text).toString('hex')
}
