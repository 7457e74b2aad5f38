import {
  ConfigurationError,
  ConnectionBrokenError,
  delay,
  isPassing,
  readJson,
  retryAfterMs,
} from '@disk-image/http'
import type { Http, HttpRequest, HttpResponse } from '@disk-image/http'
import { IdentityUnreachableError } from '../errors.ts'
import { need } from './auth-options.ts'
import type { AuthOptions, AuthType } from './auth-options.ts'
import { readCatalog } from './catalog.ts'
import type { CatalogService } from './catalog.ts'
import { identityRefusal, keystoneIdentity, secretsOfAccount, tokenScope } from './identity.ts'
import { oidcAccessToken } from './oidc.ts'

/** A catalog of many regions has some hundred KiB. */
const maximumTokenBytes = 4 * 1024 * 1024

/** A token and what came with it. */
export interface KeystoneToken {
  readonly id: string
  /** For how long it is good from when it was asked for, by the service's own clock; ours may be wrong. */
  readonly lifeMs: number
  readonly catalog: readonly CatalogService[]
}

/** How the identity service is asked. */
export interface KeystoneOptions {
  readonly http: Http
  readonly type: AuthType
  readonly auth: AuthOptions
  readonly retries: number
  /** How long signing in may take, with all retries. */
  readonly callTimeoutMs: number
}

/**
 * Signs in.
 *
 * @throws {AuthenticationFailedError} where the account is not accepted
 * @throws {IdentityUnreachableError} where nobody could be asked
 * @throws {ConfigurationError} where something is missing, or what answers is no Keystone
 */
export async function requestToken(given: KeystoneOptions, signal?: AbortSignal): Promise<KeystoneToken> {
  const options = { ...given, endMs: performance.now() + given.callTimeoutMs }
  const { auth, type } = options
  const base = await versionedUrl(options, signal)
  if (!type.startsWith('v3oidc')) {
    // An application credential has its scope already, and Keystone refuses to be asked for one.
    const scope = type === 'v3applicationcredential' ? undefined : tokenScope(auth)
    const body = {
      auth: { identity: keystoneIdentity(type, auth), ...(scope === undefined ? {} : { scope }) },
    }
    return readToken(await send(options, post(`${base}/auth/tokens`, body), signal), options)
  }
  const patient = { send: (request: HttpRequest) => send(options, request, request.signal) }
  const accessToken = await oidcAccessToken(patient, type, auth, signal)
  const provider = encodeURIComponent(need(type, 'identity_provider', auth.identityProvider))
  const protocol = encodeURIComponent(need(type, 'protocol', auth.protocol))
  const federation = `${base}/OS-FEDERATION/identity_providers/${provider}/protocols/${protocol}/auth`
  const federated = await send(
    options,
    { ...post(federation), headers: { accept: 'application/json', authorization: `Bearer ${accessToken}` } },
    signal,
  )
  const unscoped = readToken(federated, options, accessToken)
  const scope = tokenScope(auth)
  if (scope === undefined || scope === 'unscoped') return unscoped
  const body = { auth: { identity: { methods: ['token'], token: { id: unscoped.id } }, scope } }
  return readToken(await send(options, post(`${base}/auth/tokens`, body), signal), options)
}

function post(url: string, body?: object): Omit<HttpRequest, 'signal'> {
  return {
    method: 'POST',
    url: new URL(url),
    headers: { accept: 'application/json', 'content-type': 'application/json' },
    body: body === undefined ? '' : JSON.stringify(body),
    maximumBytes: maximumTokenBytes,
  }
}

interface TimedOptions extends KeystoneOptions {
  /** When signing in is given up, as `performance.now()`. */
  readonly endMs: number
}

/** Sends one request until it is answered. */
async function send(
  { http, retries, endMs }: TimedOptions,
  request: Omit<HttpRequest, 'signal'>,
  signal: AbortSignal | undefined,
): Promise<HttpResponse> {
  for (let attempt = 0; ; attempt += 1) {
    let waitMs = Math.min(500 * 2 ** attempt, 8000)
    const isLast = (): boolean => attempt >= retries || performance.now() + waitMs >= endMs
    try {
      const response = await http.send({ ...request, signal, limitMs: endMs - performance.now() })
      if (!isPassing(response.status)) return response
      waitMs = Math.min(retryAfterMs(response.headers) ?? waitMs, 30_000)
      if (isLast()) return response
    } catch (error) {
      if (!(error instanceof ConnectionBrokenError)) throw error
      if (error.fatal || isLast()) throw new IdentityUnreachableError({ reason: error.message, cause: error })
    }
    await delay(waitMs, signal)
  }
}

function readToken(response: HttpResponse, { auth }: KeystoneOptions, accessToken?: string): KeystoneToken {
  const id = response.headers.get('x-subject-token')
  if (response.status >= 300 || id === undefined) {
    const secrets = secretsOfAccount(auth, accessToken === undefined ? [] : [accessToken])
    throw identityRefusal(response, { who: 'identity service', option: 'auth_url', secrets })
  }
  const { token } = parse(response.text) as {
    token?: { issued_at?: unknown; expires_at?: unknown; catalog?: unknown } | null
  }
  const issuedMs = [token?.issued_at, response.headers.get('date')].map((time) => timeOf(time))
  const lifeMs = timeOf(token?.expires_at) - (issuedMs.find((time) => !Number.isNaN(time)) ?? Date.now())
  return {
    id,
    lifeMs: Number.isNaN(lifeMs) ? Number.POSITIVE_INFINITY : lifeMs,
    catalog: readCatalog(token?.catalog),
  }
}

/** Milliseconds since 1970; `NaN` for what is no time. */
function timeOf(text: unknown): number {
  return typeof text === 'string' ? Date.parse(text) : Number.NaN
}

/** The identity service's v3 URL: as it was given, or as the service tells, or with `/v3` behind. */
async function versionedUrl(
  { http, auth, callTimeoutMs }: KeystoneOptions,
  signal?: AbortSignal,
): Promise<string> {
  const given = (auth.authUrl ?? '').replace(/\/+$/, '')
  if (!/^https?:\/\//i.test(given) || !URL.canParse(given)) {
    throw new ConfigurationError({ reason: 'Signing in needs auth_url, an http or https URL' })
  }
  if (given.endsWith('/v3')) return given
  const fallback = `${given.replace(/\/v2\.0$/, '')}/v3`
  try {
    const { status, text } = await http.send({
      method: 'GET',
      url: new URL(`${given.replace(/\/v2\.0$/, '')}/`),
      headers: { accept: 'application/json' },
      signal,
      // What is left is for the token itself.
      limitMs: callTimeoutMs / 4,
    })
    if (status !== 200 && status !== 300) return fallback
    return discovered(parse(text), given) ?? fallback
  } catch (error) {
    if (error instanceof ConnectionBrokenError) return fallback
    throw error
  }
}

/** The v3 link of a discovery document, if it stays on the host: the credentials go there. */
function discovered(document: object, given: string): string | undefined {
  const versions = (document as { versions?: { values?: unknown } | unknown[] }).versions
  const values: unknown = Array.isArray(versions) ? versions : versions?.values
  if (!Array.isArray(values)) return undefined
  for (const version of values as ({ id?: unknown; links?: unknown } | null)[]) {
    if (typeof version?.id !== 'string' || !version.id.startsWith('v3')) continue
    const links = Array.isArray(version.links)
      ? (version.links as ({ rel?: unknown; href?: unknown } | null)[])
      : []
    const href = links.find((link) => link?.rel === 'self')?.href
    if (typeof href !== 'string' || !URL.canParse(href)) continue
    if (new URL(href).origin === new URL(given).origin) return href.replace(/\/+$/, '')
  }
  return undefined
}

function parse(text: string): object {
  try {
    const value = readJson(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
