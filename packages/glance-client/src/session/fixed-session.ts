import { InvalidError } from '@disk-image/core'
import type { RequestContext } from '@disk-image/core'
import type { Session } from './session.ts'

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
