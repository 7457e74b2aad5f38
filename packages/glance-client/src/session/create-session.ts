import { ConfigurationError, createHttp, resolveTimeouts, undiciConnections } from '@disk-image/http'
import type { ProxyOptions, Timeouts, TlsOptions } from '@disk-image/http'
import { authTypes, need, toAuthType } from './auth-options.ts'
import type { AuthOptions } from './auth-options.ts'
import { fixedSession, normalizeEndpoint } from './session.ts'
import type { Session } from './session.ts'
import { TokenSession } from './token-session.ts'

/** How to sign in, and where services are then looked for. */
export interface SessionOptions extends Partial<Timeouts> {
  /**
   * `password`, `token`, `v3applicationcredential`, `v3totp`, `v3multifactor`, `v3oidcpassword`,
   * `v3oidcclientcredentials`, `v3oidcaccesstoken`, `none`, `admin_token` or `http_basic`; keystoneauth's other names of
   * them, too. @default 'password'
   */
  readonly authType?: string | undefined
  readonly auth?: AuthOptions | undefined
  readonly region?: string | undefined
  /** In the order in which they are preferred. @default ['public'] */
  readonly interfaces?: readonly string[] | undefined
  /** URLs by service type (`image`, `key-manager`) that go before the catalog. */
  readonly endpointOverrides?: Readonly<Record<string, string>> | undefined
  /** Names by service type, where a catalog has several services of one type. */
  readonly serviceNames?: Readonly<Record<string, string>> | undefined
  /** What the catalog calls a service type. */
  readonly serviceTypes?: Readonly<Record<string, string>> | undefined
  readonly tls?: TlsOptions | undefined
  /** @default none: servers are reached directly */
  readonly proxy?: ProxyOptions | undefined
  /** Retries of a token request. @default 3 */
  readonly retries?: number | undefined
}

/**
 * Makes a session. Nothing is sent before the first call that needs it.
 *
 * @throws {ConfigurationError} where the auth type is not known or lacks something
 */
export function createSession(options: SessionOptions): Session {
  const name = options.authType ?? 'password'
  const type = toAuthType(name)
  if (type === undefined) {
    throw new ConfigurationError({
      reason: `The auth type ${JSON.stringify(name)} is not supported; these are: ${authTypes.join(', ')}`,
    })
  }
  const auth = options.auth ?? {}
  const overrides = options.endpointOverrides ?? {}
  const fixed = (headers: Record<string, string>): Session => ({
    ...fixedSession([], headers),
    endpoints: async (serviceType) => {
      const url = overrides[serviceType] ?? auth.endpoint
      if (url !== undefined) return [normalizeEndpoint(url)]
      throw new ConfigurationError({
        reason: `The auth type ${name} has no catalog: it needs the endpoint of the ${serviceType} service`,
      })
    },
  })
  if (type === 'none') return fixed({})
  if (type === 'admin_token') return fixed({ 'X-Auth-Token': need(name, 'token', auth.token) })
  if (type === 'http_basic') {
    const user = need(name, 'username', auth.username)
    const basic = Buffer.from(`${user}:${need(name, 'password', auth.password)}`).toString('base64')
    return fixed({ Authorization: `Basic ${basic}` })
  }
  const timeouts = resolveTimeouts(options)
  return new TokenSession({
    callTimeoutMs: timeouts.callTimeoutMs,
    http: createHttp(timeouts, undiciConnections(timeouts, options)),
    type,
    auth,
    retries: options.retries ?? 3,
    region: options.region,
    interfaces: options.interfaces ?? ['public'],
    endpointOverrides: overrides,
    serviceNames: options.serviceNames ?? {},
    serviceTypes: options.serviceTypes ?? {},
  })
}
