import { createHash } from 'node:crypto'
import {
  ImageNotAuthorizedError,
  ImageNotFoundError,
  ImageUnacceptableError,
  InvalidError,
} from '@disk-image/core'
import {
  type ClientAnswer,
  type ClientRequest,
  ConnectionBrokenError,
  connectionText,
  delay,
  type HttpClient,
  type HttpClientOptions,
  HttpConnectionFailedError,
  HttpStatusError,
  isPassing,
  refuseEncoded,
} from '@disk-image/http'
import { type AuthorizationRequest, RegistryAuthorization } from './authorization.ts'
import type { CredentialSource } from './credentials.ts'
import { acceptedManifests, longestManifestBytes } from './manifest.ts'
import { apiHost, isRegistryHost, type OciRegistryReference } from './reference.ts'

/** How registries are reached, and by whom. */
export interface RegistryOptions extends HttpClientOptions {
  /** @default nobody: what everybody may read */
  readonly credentials?: CredentialSource | undefined
  /** Registries (`host:port`), and their token servers, that are spoken to without TLS. @default none */
  readonly plainHttp?: readonly string[] | undefined
  /** Registries that have the same repositories, by the host that they stand for. They are asked first, in this order. */
  readonly mirrors?: Readonly<Record<string, readonly string[]>> | undefined
}

/** A request to a registry. */
export interface RegistryRequest extends Omit<ClientRequest, 'url'> {
  /** Below the repository, as `blobs/uploads/`; or all of it, as the registry said. */
  readonly where: string | URL
}

/** A manifest as it came. */
export interface FetchedManifest {
  readonly bytes: Uint8Array
  readonly digest: string
  readonly contentType: string | undefined
}

/** One repository of one registry. Its credentials go to no other host. */
export class Repository {
  readonly host: string
  /** How often in a row a request is tried again. */
  readonly retries: number
  readonly #client: HttpClient
  readonly #options: RegistryOptions
  readonly #base: URL
  readonly #authorization: RegistryAuthorization
  readonly #about: Omit<AuthorizationRequest, 'signal'>

  constructor(
    client: HttpClient,
    host: string,
    about: Omit<AuthorizationRequest, 'signal'>,
    options: RegistryOptions,
  ) {
    const { credentials, plainHttp = [], retries = 3 } = options
    this.host = host
    this.retries = retries
    this.#client = client
    this.#options = options
    this.#about = about
    this.#base = new URL(`${plainHttp.includes(host) ? 'http' : 'https'}://${host}/v2/${about.repository}/`)
    this.#authorization = new RegistryAuthorization(client, this.#base, credentials, plainHttp)
  }

  /** Sends a request, and once more where the registry wants to know who asks. */
  async send({ where, ...request }: RegistryRequest): Promise<ClientAnswer> {
    const url = this.locate(where)
    for (let isChallenged = false; ; isChallenged = true) {
      const { headers } = this.#authorization
      const answer = await this.#client.send({
        ...request,
        url,
        headers: { ...request.headers, ...headers },
        takeBody: (head) => {
          refuseEncoded(url, head)
          return request.takeBody?.(head)
        },
      })
      const isOwn = answer.url.origin === this.#base.origin
      if (answer.head.status !== 401 || !isOwn || isChallenged || answer.bodyStarted) return answer
      const about = { ...this.#about, signal: request.signal }
      const challenge = answer.head.headers.get('www-authenticate')
      if (!(await this.#authorization.answer(challenge, headers.Authorization, about))) return answer
    }
  }

  /**
   * A small answer: tried again where that may help.
   *
   * @throws {HttpConnectionFailedError}; after an abort the signal's reason
   */
  async sendSmall(
    request: RegistryRequest,
    mostBytes: number = 64 * 1024,
  ): Promise<ClientAnswer & { readonly bytes: Uint8Array }> {
    const { signal: caller } = request
    for (let attempt = 0; ; attempt += 1) {
      caller?.throwIfAborted()
      const limit = AbortSignal.timeout(this.#options.callTimeoutMs ?? 60_000)
      const signal = caller === undefined ? limit : AbortSignal.any([caller, limit])
      let retryAfterMs: number | undefined
      try {
        const body = collectBytes(this.#base, mostBytes)
        const answer = await this.send({ ...request, signal, takeBody: body.takeBody })
        const isOver = !isPassing(answer.head.status) || attempt >= this.retries
        if (isOver) return { ...answer, bytes: body.bytes() }
        retryAfterMs = answer.error?.retryAfterMs
      } catch (error) {
        caller?.throwIfAborted()
        const isBroken = error instanceof ConnectionBrokenError
        if (!isBroken && !limit.aborted) throw error
        const reason = isBroken ? error.message : connectionText(this.#base, 'headers', 'no answer in time')
        if ((isBroken && error.fatal) || attempt >= this.retries) {
          throw new HttpConnectionFailedError({ reason, cause: error })
        }
      }
      await delay(this.waitMs(attempt, retryAfterMs), caller)
    }
  }

  waitMs(attempt: number, retryAfterMs: number | undefined): number {
    const { retryDelayMs = 1000, maximumRetryDelayMs = 30_000 } = this.#options
    return Math.min(retryAfterMs ?? retryDelayMs * 2 ** attempt, maximumRetryDelayMs)
  }

  /** Where a request goes: to the registry, since its credentials go there. @throws {InvalidError} where it is elsewhere */
  locate(where: string | URL): URL {
    const url =
      typeof where === 'string' && URL.canParse(where, this.#base.href) ? new URL(where, this.#base) : where
    if (typeof url !== 'string' && url.origin === this.#base.origin && url.username === '') return url
    const place = typeof url === 'string' ? 'to no URL' : `to ${url.origin}`
    throw new InvalidError({ reason: `${this.host} sends uploads ${place}, where its credentials don't go` })
  }

  /** A manifest, verified by its digest where that is known. @throws {ImageUnacceptableError} rule `oci-digest` */
  async manifest(reference: string, signal: AbortSignal | undefined): Promise<FetchedManifest> {
    const where = `manifests/${reference}`
    const request = { where, headers: { Accept: acceptedManifests }, signal }
    const { error, bytes, head } = await this.sendSmall(request, longestManifestBytes)
    if (error !== undefined) throw error
    const promised = reference.includes(':') ? reference : head.headers.get('docker-content-digest')
    const digest = digestOf(bytes, promised)
    const contentType = head.headers.get('content-type')?.replace(/;.*$/s, '').trim()
    if (promised === undefined || promised === digest) return { bytes, digest, contentType }
    throw new ImageUnacceptableError({
      imageId: this.#about.imageId,
      rule: 'oci-digest',
      reason: 'The manifest is not the one that its digest says',
      found: digest,
      accepted: promised.slice(0, 200),
    })
  }
}

/** The servers that have a repository: mirrors first, the registry itself last. */
export function openRepositories(
  client: HttpClient,
  imageId: string,
  { host, repository }: OciRegistryReference,
  options: RegistryOptions,
): Repository[] {
  const about = { imageId, repository, actions: 'pull' }
  const mirrors = Object.entries(options.mirrors ?? {}).flatMap(([of, named]) =>
    apiHost(of.toLowerCase()) === host ? named : [],
  )
  const wrong = mirrors.find((one) => !isRegistryHost(one))
  if (wrong !== undefined) {
    throw new InvalidError({
      reason: `A mirror is HOST or HOST:PORT, not ${JSON.stringify(wrong.slice(0, 80))}`,
    })
  }
  return [...mirrors, host].map((one) => new Repository(client, one, about, options))
}

/** The digest of bytes. @param like one of the same algorithm @default sha256 */
export function digestOf(bytes: Uint8Array, like = ''): string {
  const algorithm = like.startsWith('sha512:') ? 'sha512' : 'sha256'
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

/** The class that an answer's error has: no such image, or none for this user. */
export function registryError(imageId: string, error: unknown): unknown {
  if (!(error instanceof HttpStatusError)) return error
  const init = { imageId, detail: error.message, cause: error }
  if (error.status === 401 || error.status === 403) return new ImageNotAuthorizedError(init)
  return error.status === 404 ? new ImageNotFoundError(init) : error
}

/** Keeps the body of a small answer; more of it than that ends the request. */
function collectBytes(
  url: URL,
  most: number,
): Required<Pick<ClientRequest, 'takeBody'>> & { bytes(): Uint8Array } {
  let parts: Uint8Array[] = []
  return {
    takeBody: () => {
      let length = 0
      parts = []
      return {
        take: (bytes) => {
          length += bytes.length
          if (length > most) {
            const reason = `the answer has more than ${most} bytes`
            throw new ConnectionBrokenError('body', connectionText(url, 'body', reason), { fatal: true })
          }
          // The memory is read into again.
          parts.push(Uint8Array.from(bytes))
          return undefined
        },
      }
    },
    bytes: () => Buffer.concat(parts),
  }
}
