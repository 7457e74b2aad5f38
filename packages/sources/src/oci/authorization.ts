import { ImageNotAuthorizedError, InvalidError } from '@disk-image/core'
import { type HttpClient, HttpStatusError, readJson } from '@disk-image/http'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { CredentialSource, RegistryCredentials } from './credentials.ts'

/** What a token is asked for. */
export interface AuthorizationRequest {
  /** Named in errors. */
  readonly imageId: string
  readonly repository: string
  /** As in a scope: `pull`, `pull,push`. */
  readonly actions: string
  readonly signal: AbortSignal | undefined
}

/** Answers of token servers are short. */
const longestTokenAnswer = 256 * 1024

/** How one registry is shown who asks. It answers the registry's challenges, and keeps what came of that. */
export class RegistryAuthorization {
  readonly #client: HttpClient
  readonly #registry: URL
  readonly #credentials: CredentialSource | undefined
  readonly #plainHosts: readonly string[]
  /** The header's value; one instance is for one repository and its actions. */
  #authorization: string | undefined

  /** @param plainHosts those that may be spoken to without TLS */
  constructor(
    client: HttpClient,
    registry: URL,
    credentials: CredentialSource | undefined,
    plainHosts: readonly string[],
  ) {
    this.#client = client
    this.#registry = registry
    this.#credentials = credentials
    this.#plainHosts = plainHosts
  }

  /** The headers of a request, as far as is known. */
  get headers(): { readonly Authorization?: string } {
    return this.#authorization === undefined ? {} : { Authorization: this.#authorization }
  }

  /**
   * Answers a 401.
   *
   * @param refused what was tried
   * @returns whether there is something else to try
   * @throws {ImageNotAuthorizedError} where the challenge asks to hand credentials to whom they are not meant for
   */
  async answer(
    challenge: string | undefined,
    refused: string | undefined,
    request: AuthorizationRequest,
  ): Promise<boolean> {
    const challenges = parseChallenges(challenge ?? '')
    const credentials = await this.#credentials?.(this.#registry.host, request.repository)
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    const authorization =
      bearer === undefined
        ? basicOf(challenges, credentials)
        : `Bearer ${await this.#fetchToken(bearer, credentials, request)}`
    if (authorization === undefined || authorization === refused) return false
    this.#authorization = authorization
    return true
  }

  /** @see https://distribution.github.io/distribution/spec/auth/token/ */
  async #fetchToken(
    { parameters: { realm, service } }: Challenge,
    credentials: RegistryCredentials | undefined,
    { imageId, repository, actions, signal }: AuthorizationRequest,
  ): Promise<string> {
    const url = this.#realmOf(realm, imageId)
    const fields = {
      ...(service === undefined ? {} : { service }),
      scope: `repository:${repository}:${actions}`,
    }
    const request = { url, signal, maximumBytes: longestTokenAnswer, headers: { Accept: 'application/json' } }
    try {
      const { text } =
        credentials !== undefined && 'identityToken' in credentials
          ? await this.#client.read({
              ...request,
              method: 'POST',
              headers: { ...request.headers, 'Content-Type': 'application/x-www-form-urlencoded' },
              text: new URLSearchParams({
                ...fields,
                grant_type: 'refresh_token',
                client_id: 'disk-image',
                refresh_token: credentials.identityToken,
              }).toString(),
            })
          : await this.#client.read({
              ...request,
              url: withQuery(url, fields),
              headers: { ...request.headers, ...(credentials && { Authorization: basic(credentials) }) },
            })
      return tokenOf(text, imageId, url)
    } catch (error) {
      if (!(error instanceof HttpStatusError) || ![400, 401, 403].includes(error.status)) throw error
      // What a server says of a token that it was sent may be the token.
      const isSent = credentials !== undefined && 'identityToken' in credentials
      const detail = isSent ? `HTTP ${error.status} of ${url.origin} for the identity token.` : error.message
      throw new ImageNotAuthorizedError({ imageId, detail, ...(isSent ? {} : { cause: error }) })
    }
  }

  /** Who may be told a password: a server that the registry names, over a connection that nobody listens to. */
  #realmOf(realm: string | undefined, imageId: string): URL {
    const url = URL.canParse(realm ?? '') ? new URL(realm ?? '') : undefined
    const isPlain =
      url?.protocol === 'http:' && this.#registry.protocol === 'http:' && this.#plainHosts.includes(url.host)
    if (url !== undefined && (url.protocol === 'https:' || isPlain) && url.username === '') return url
    const where = url === undefined ? 'nowhere' : `to ${url.protocol}//${url.host}`
    throw new ImageNotAuthorizedError({
      imageId,
      detail: `${this.#registry.host} sends whoever asks ${where} for a token; credentials go to a server on https only, or to one that is named as plain http.`,
    })
  }
}

function withQuery(url: URL, fields: Readonly<Record<string, string>>): URL {
  const whole = new URL(url)
  for (const [name, value] of Object.entries(fields)) whole.searchParams.append(name, value)
  return whole
}

function basicOf(
  challenges: readonly Challenge[],
  credentials: RegistryCredentials | undefined,
): string | undefined {
  const isAsked = challenges.some(({ scheme }) => scheme === 'basic')
  return isAsked && credentials !== undefined && 'username' in credentials ? basic(credentials) : undefined
}

function basic({ username, password }: { readonly username: string; readonly password: string }): string {
  if (username.includes(':'))
    throw new InvalidError({ reason: 'The user of a registry has a colon in its name' })
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function tokenOf(text: string, imageId: string, url: URL): string {
  let answer: unknown
  try {
    answer = readJson(text)
  } catch {
    // Whatever it is, it may be half of a token.
  }
  const { token, access_token: accessToken } = (answer ?? {}) as Record<string, unknown>
  const found = [token, accessToken].find((one) => typeof one === 'string' && /^[\u0021-\u007e]+$/.test(one))
  if (found !== undefined) return found as string
  throw new ImageNotAuthorizedError({ imageId, detail: `The answer of ${url.origin} has no token.` })
}
