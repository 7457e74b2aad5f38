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
  readonly wallMs: () => number
}

/** A token is renewed when it has less than this to live. */
const leastLifeMs = 120_000

/** Signs in once for all, ahead of time, and again when a token was refused. */
export function createTokenSession(options: TokenSessionOptions): Session {
  let current: { readonly token: KeystoneToken; readonly renewAtMs: number } | undefined
  let pending: Promise<KeystoneToken> | undefined
  /** The session's tokens that were refused, to tell them from users' own. */
  const past: string[] = []

  const signIn = (): Promise<KeystoneToken> => {
    // One request for all who wait. It does not end with the first caller's signal: others wait for it too.
    pending ??= requestToken(options)
      .then((token) => {
        const now = options.wallMs()
        // Short-lived tokens are used for most of their life instead of being renewed for each call.
        const life = token.expiresAtMs - now
        current = { token, renewAtMs: token.expiresAtMs - Math.min(leastLifeMs, life / 4) }
        return token
      })
      .finally(() => {
        pending = undefined
      })
    return pending
  }
  const token = (signal: AbortSignal | undefined): Promise<KeystoneToken> => {
    if (current !== undefined && options.wallMs() < current.renewAtMs) return Promise.resolve(current.token)
    return unlessAborted(signIn(), signal)
  }
  return {
    authorize: async (context: RequestContext | undefined, signal) => {
      const user = userHeaders(context)
      if (user !== undefined) return { headers: user }
      return { headers: { 'X-Auth-Token': (await token(signal)).id } }
    },
    renew: async (used: Authorization, signal) => {
      const refused = used.headers['X-Auth-Token']
      if (current !== undefined && current.token.id !== refused) {
        // Somebody else's renewal came first; or the refused token is a user's own, which is not ours to renew.
        return refused !== undefined && past.includes(refused)
      }
      if (current !== undefined) {
        past.push(current.token.id)
        if (past.length > 16) past.shift()
        current = undefined
      } else if (refused === undefined || !past.includes(refused)) {
        return false
      }
      await unlessAborted(signIn(), signal)
      return true
    },
    endpoints: async (serviceType, signal) => {
      const override = options.endpointOverrides[serviceType]
      if (override !== undefined) return [normalizeEndpoint(override)]
      const { catalog } = await token(signal)
      return [
        endpointFromCatalog(catalog, {
          serviceType: options.serviceTypes[serviceType] ?? serviceType,
          serviceName: options.serviceNames[serviceType],
          interfaces: options.interfaces,
          region: options.region,
        }),
      ]
    },
  }
}
