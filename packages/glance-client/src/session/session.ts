import { InvalidError } from '@disk-image/core'
import type { RequestContext } from '@disk-image/core'

/** Headers that say who calls. */
export interface Authorization {
  readonly headers: Readonly<Record<string, string>>
}

/** Where a service is, and what calls it carries. Made by `createSession` or `loadSession`. */
export interface Session {
  /** A context's own token goes before the session's. @throws {AuthenticationFailedError} */
  authorize(context: RequestContext | undefined, signal?: AbortSignal): Promise<Authorization>
  /** After a 401: whether another try with fresh headers makes sense. Many callers cause one renewal. */
  renew(used: Authorization, signal?: AbortSignal): Promise<boolean>
  /**
   * URLs of a service, without a trailing slash or version.
   * @throws {InvalidError} with what the catalog has, where nothing fits
   */
  endpoints(serviceType: string, signal?: AbortSignal): Promise<readonly string[]>
}

/** A session without Keystone: fixed endpoints, fixed headers or none. */
export function fixedSession(
  endpoints: readonly string[],
  headers: Readonly<Record<string, string>> = {},
): Session {
  return {
    authorize: async (context) => ({ headers: userHeaders(context) ?? headers }),
    renew: async () => false,
    endpoints: async (serviceType) => {
      if (endpoints.length === 0) {
        throw new InvalidError({
          reason: `Without a catalog the endpoint of the ${serviceType} service must be given`,
        })
      }
      return endpoints
    },
  }
}

/** The headers of a context that brings its own token. */
export function userHeaders(context: RequestContext | undefined): Record<string, string> | undefined {
  if (context?.authToken === undefined) return undefined
  return {
    'X-Auth-Token': context.authToken,
    ...(context.serviceToken === undefined ? {} : { 'X-Service-Token': context.serviceToken }),
  }
}

/** A session whose service is looked for elsewhere than in its catalog. */
export function withEndpoints(session: Session, endpoints: readonly string[]): Session {
  return {
    authorize: (context, signal) => session.authorize(context, signal),
    renew: (used, signal) => session.renew(used, signal),
    endpoints: async () => endpoints,
  }
}

/**
 * An endpoint without trailing slash and version: `http://h/image/v2/` becomes `http://h/image`.
 *
 * @throws {InvalidError} where it is no http or https URL
 */
export function normalizeEndpoint(url: string): string {
  const text = /^[a-z][a-z\d+.-]*:\/\//i.test(url) ? url : `http://${url}`
  if (!URL.canParse(text)) throw new InvalidError({ reason: `The endpoint ${quote(url)} is no URL` })
  const parsed = new URL(text)
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') {
    throw new InvalidError({ reason: `The endpoint ${quote(url)} must begin with http:// or https://` })
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new InvalidError({ reason: 'An endpoint must not contain a user name or password' })
  }
  const path = parsed.pathname.replace(/\/+$/, '').replace(/\/v\d+(\.\d+)?$/, '')
  return `${parsed.origin}${path.replace(/\/+$/, '')}`
}

function quote(url: string): string {
  return JSON.stringify(url.replace(/\/\/[^/@]*@/, '//***@').slice(0, 200))
}
