import {
  adaptLogger,
  type Checksum,
  ImageNotAuthorizedError,
  ImageNotFoundError,
  InvalidError,
  type Source,
} from '@disk-image/core'
import {
  type ClientAnswer,
  ConnectionBrokenError,
  createHttpClient,
  delay,
  type DownloadOrigin,
  type HttpClient,
  type HttpClientOptions,
  HttpConnectionFailedError,
  type HttpStatusError,
  isPassing,
  ReplacedError,
} from '@disk-image/http'
import { identityToKeep } from '../url/identity.ts'
import { isComposite, promisesOf } from '../url/promises.ts'
import { parseS3Location, type S3Location } from './location.ts'
import { s3Settings, type S3Settings, type S3SettingsOptions } from './settings.ts'
import { encodeKey, signS3Request } from './sign.ts'

/** Options of {@link s3Source}. */
export interface S3SourceOptions extends HttpClientOptions, Partial<S3Settings> {
  /** Where what is not given here comes from: the AWS command's variables and files. @default nowhere */
  readonly environment?: S3SettingsOptions['environment'] | undefined
  readonly profile?: string | undefined
  /** Sign nothing, whatever credentials there are. @default false */
  readonly anonymous?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** An object in S3. Close it. */
export interface S3Source extends Source {
  readonly sizeBytes: number
  readonly promises: readonly Checksum[]
  /** With its quotes. */
  readonly etag: string
  /** The same for the same bytes only: a hash of where the object is, and of its ETag. */
  readonly identity: string | undefined
  /** Where the bucket turned out to be. */
  readonly region: string
  close(): Promise<void>
}

/**
 * Finds an object in S3, or in what speaks its protocol. It is read with requests that are signed one by one (Signature
 * Version 4), goes on where a connection breaks off, and only as long as its ETag stays the same.
 *
 * @param location `s3://BUCKET/KEY`
 * @throws {InvalidError} {@link ImageNotFoundError} {@link ImageNotAuthorizedError} {@link HttpConnectionFailedError}
 */
export async function s3Source(location: string, options: S3SourceOptions = {}): Promise<S3Source> {
  const parsed = parseS3Location(location)
  const { environment, profile, signal } = options
  const found = environment === undefined ? undefined : await s3Settings({ environment, profile })
  const bucket = new Bucket(location, parsed, {
    credentials: options.anonymous === true ? undefined : (options.credentials ?? found?.credentials),
    region: options.region ?? found?.region,
    endpointUrl: options.endpointUrl ?? found?.endpointUrl,
    addressingStyle: options.addressingStyle ?? found?.addressingStyle,
  })
  const client = createHttpClient(options)
  try {
    const { headers } = (await describe(client, bucket, options)).head
    const [size, etag] = [headers.get('content-length') ?? '', headers.get('etag')]
    if (!/^\d{1,15}$/.test(size) || etag === undefined) {
      throw new HttpConnectionFailedError({
        reason: `${bucket.url.origin} does not say the size and ETag of ${location}`,
      })
    }
    // A directory bucket makes its ETags of something else.
    const promises = promisesOf(200, headers, !parsed.bucket.endsWith('--x-s3'))
    if (promises.length === 0 && isComposite(headers)) {
      const what =
        'S3 has only a checksum of the checksums of its parts, which can’t be compared with its bytes'
      adaptLogger(options.logger).warn(`${location}: ${what}`)
    }
    const origin: DownloadOrigin = {
      name: location,
      expected: { id: location, size: Number(size) },
      promises,
      hashForReport: 'sha256',
      fetch: async (request) => {
        const answer = await client.fetchData(bucket.url, bucket.headers('GET', { 'If-Match': etag }), {
          ...request,
          takeBody: (head) => {
            // A server may not know the condition.
            if (head.headers.get('etag') !== etag) throw new ReplacedError('its ETag changed')
            return request.takeBody(head)
          },
        })
        if (answer.head.status === 412) throw new ReplacedError('its ETag changed')
        return answer
      },
      translate: (error) => bucket.explain(error),
    }
    signal?.throwIfAborted()
    return {
      name: location,
      sizeBytes: Number(size),
      promises,
      etag,
      identity: identityToKeep(bucket.url, etag, Number(size)),
      region: bucket.region,
      download: (sink, how) => client.download(origin, sink, how),
      readRange: (offset, length, how) => client.readRange(origin, offset, length, how),
      close: () => client.close(),
    }
  } catch (error) {
    await client.close()
    throw error
  }
}

/** Where an object is, and how requests for it are signed. */
class Bucket {
  readonly name: string
  readonly #location: S3Location
  readonly #settings: S3Settings
  region: string
  url: URL

  constructor(name: string, location: S3Location, settings: S3Settings) {
    this.name = name
    this.#location = location
    this.#settings = settings
    this.region = settings.region ?? 'us-east-1'
    this.url = this.#urlOf()
  }

  /** The headers of a request, signed now: a signature holds for some minutes. */
  headers(
    method: 'GET' | 'HEAD',
    headers: Readonly<Record<string, string>>,
  ): Readonly<Record<string, string>> {
    const { credentials } = this.#settings
    if (credentials === undefined) return headers
    return signS3Request(method, this.url, headers, { credentials, region: this.region, date: new Date() })
  }

  /** Takes the region that an answer says the bucket is in. @returns whether it is another one */
  move(region: string | undefined): boolean {
    if (region === undefined || region === this.region || !/^[a-z0-9-]{1,40}$/.test(region)) return false
    this.region = region
    this.url = this.#urlOf()
    return true
  }

  /** The error of an answer, by its code; what else a server says stays out of it. */
  explain(error: HttpStatusError, code = codeOf(error.detail), date?: string): unknown {
    const init = { imageId: this.name, cause: error }
    const signer =
      this.#settings.credentials === undefined ? 'nobody without credentials' : 'these credentials'
    const words: Readonly<Record<string, string>> = {
      RequestTimeTooSkewed: `The clock of this machine is wrong: it says ${new Date().toUTCString()}, the server ${date ?? 'something else'}.`,
      SignatureDoesNotMatch:
        'The secret access key is not the one of the access key id, or a proxy changes requests.',
      InvalidAccessKeyId: 'The access key id is not known there.',
      ExpiredToken: 'The session token has ended: get new credentials.',
      InvalidToken: 'The session token is not valid: get new credentials.',
      InvalidObjectState: 'It is archived: restore it first.',
    }
    if (error.status === 404) {
      const what = code === 'NoSuchBucket' ? 'The bucket' : 'The object'
      return new ImageNotFoundError({ ...init, detail: `${what} is not there.` })
    }
    const refused = `It may not be read by ${signer}, or is not there (HTTP 403${code === undefined ? '' : `, ${code}`}).`
    const detail = words[code ?? ''] ?? (error.status === 403 || error.status === 401 ? refused : undefined)
    if (detail !== undefined) return new ImageNotAuthorizedError({ ...init, detail })
    if (error.status === 301 || error.status === 307 || code === 'AuthorizationHeaderMalformed') {
      const reason = `The bucket of ${this.name} is in another region than ${this.region}; give the right one (region, --region)`
      return new InvalidError({ reason, cause: error })
    }
    return error
  }

  #urlOf(): URL {
    const { bucket, key } = this.#location
    const { endpointUrl, addressingStyle } = this.#settings
    const suffix = this.region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'
    const text = endpointUrl ?? `https://s3.${this.region}.${suffix}`
    const endpoint = URL.canParse(text) ? new URL(text) : undefined
    if (endpoint === undefined || !/^https?:$/.test(endpoint.protocol) || endpoint.username !== '') {
      throw new InvalidError({ reason: 'The endpoint of S3 is no http or https URL without a user' })
    }
    // A certificate of Amazon's holds for one label.
    const isVirtual =
      addressingStyle === undefined
        ? endpointUrl === undefined && !bucket.includes('.')
        : addressingStyle === 'virtual'
    if (isVirtual) endpoint.hostname = `${bucket}.${endpoint.hostname}`
    const folder = endpoint.pathname.replace(/\/$/, '')
    const path = `${folder}${isVirtual ? '' : `/${bucket}`}/${encodeKey(key)}`
    endpoint.pathname = path
    if (endpoint.pathname !== path) {
      throw new InvalidError({
        reason: `The key of ${this.name} has . or .. between its slashes, which no URL can have`,
      })
    }
    return endpoint
  }
}

/** The head of the object: first of all its region may turn out to be another one, then it may need time. */
async function describe(client: HttpClient, bucket: Bucket, options: S3SourceOptions): Promise<ClientAnswer> {
  const { signal, retries = 3, retryDelayMs = 1000, maximumRetryDelayMs = 30_000 } = options
  let moved = false
  for (let attempt = 0; ; attempt += 1) {
    let failure: ConnectionBrokenError | undefined
    let retryAfterMs: number | undefined
    try {
      const answer = await client.send({
        method: 'HEAD',
        url: bucket.url,
        headers: bucket.headers('HEAD', { 'x-amz-checksum-mode': 'ENABLED' }),
        signal,
        follow: false,
      })
      const { error, head } = answer
      if (error === undefined) return answer
      if (!moved && bucket.move(head.headers.get('x-amz-bucket-region'))) {
        moved = true
        continue
      }
      if (!isPassing(head.status) || attempt >= retries)
        throw await explainWith(client, bucket, error, signal)
      retryAfterMs = error.retryAfterMs
    } catch (error) {
      if (!(error instanceof ConnectionBrokenError)) throw error
      failure = error
      if (failure.fatal || attempt >= retries) {
        throw new HttpConnectionFailedError({ reason: failure.message, cause: failure })
      }
    }
    await delay(Math.min(retryAfterMs ?? retryDelayMs * 2 ** attempt, maximumRetryDelayMs), signal)
  }
}

/** Asks for a byte: the answer to a HEAD has no text, and why it was refused stands there. */
async function explainWith(
  client: HttpClient,
  bucket: Bucket,
  error: HttpStatusError,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const headers = bucket.headers('GET', { Range: 'bytes=0-0' })
  const answer = await client.send({ url: bucket.url, headers, signal, follow: false }).catch(() => undefined)
  signal?.throwIfAborted()
  return bucket.explain(error, codeOf(answer?.text ?? ''), answer?.head.headers.get('date'))
}

function codeOf(text: string): string | undefined {
  return /<Code>([A-Za-z]{1,60})<\/Code>/.exec(text)?.[1]
}
