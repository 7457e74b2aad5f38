import type { RequestContext } from '@disk-image/core'
import { unlessAborted } from '@disk-image/io'
import { endpointFromCatalog } from './catalog.ts'
import { requestToken } from './keystone.ts'
import type { KeystoneOptions, KeystoneToken } from './keystone.ts'
import { normalizeEndpoint, userHeaders } from './session.ts'
import type { Authorization, Session } from './session.ts'

/** Settings of a session with Keystone. */
interface TokenSessionOptions extends KeystoneOptions {
  readonly region: string | undefined
  readonly interfaces: readonly string[]
  /** Endpoints by service type that go before the catalog. */
  readonly endpointOverrides: Readonly<Record<string, string>>
  readonly serviceNames: Readonly<Record<string, string>>
  readonly serviceTypes: Readonly<Record<string, string>>
}

/** A token is renewed when it has less than this to live. */
const leastLifeMs = 120_000

/** Tokens that were refused and are still told from users' own. */
const maximumPastTokens = 16

/** Signs in once for all, ahead of time, and again when a token was refused. */
export class TokenSession implements Session {
  readonly #options: TokenSessionOptions
  #current: { readonly token: KeystoneToken; readonly renewAtMs: number } | undefined
  #pending: Promise<KeystoneToken> | undefined
  /** The session's tokens that were refused. */
  readonly #past: string[] = []

  constructor(options: TokenSessionOptions) {
    this.#options = options
  }

  async authorize(context: RequestContext | undefined, signal?: AbortSignal): Promise<Authorization> {
    const user = userHeaders(context)
    if (user !== undefined) return { headers: user }
    return { headers: { 'X-Auth-Token': (await this.#token(signal)).id } }
  }

  async renew(used: Authorization, signal?: AbortSignal): Promise<boolean> {
    const refused = used.headers['X-Auth-Token']
    const isPast = refused !== undefined && this.#past.includes(refused)
    if (this.#current === undefined) {
      if (!isPast) return false
    } else if (this.#current.token.id === refused) {
      this.#past.push(refused)
      if (this.#past.length > maximumPastTokens) this.#past.shift()
      this.#current = undefined
    } else {
      // Somebody else's renewal came first; or the refused token is a user's own, which is not ours to renew.
      return isPast
    }
    await unlessAborted(this.#signIn(), signal)
    return true
  }

  async endpoints(serviceType: string, signal?: AbortSignal): Promise<readonly string[]> {
    const { endpointOverrides, serviceTypes, serviceNames, interfaces, region } = this.#options
    const override = endpointOverrides[serviceType]
    if (override !== undefined) return [normalizeEndpoint(override)]
    const { catalog } = await this.#token(signal)
    return [
      endpointFromCatalog(catalog, {
        serviceType: serviceTypes[serviceType] ?? serviceType,
        serviceName: serviceNames[serviceType],
        interfaces,
        region,
      }),
    ]
  }

  #token(signal: AbortSignal | undefined): Promise<KeystoneToken> {
    const current = this.#current
    if (current !== undefined && performance.now() < current.renewAtMs) {
      return Promise.resolve(current.token)
    }
    return unlessAborted(this.#signIn(), signal)
  }

  /** One request for all who wait. It does not end with the first caller's signal: others wait for it too. */
  #signIn(): Promise<KeystoneToken> {
    const askedMs = performance.now()
    this.#pending ??= requestToken(this.#options)
      .then((token) => {
        // Short-lived tokens are used for most of their life instead of being renewed for each call.
        const restMs = Math.min(leastLifeMs, token.lifeMs / 4)
        this.#current = { token, renewAtMs: askedMs + token.lifeMs - restMs }
        return token
      })
      .finally(() => {
        this.#pending = undefined
      })
    return this.#pending
  }
}
