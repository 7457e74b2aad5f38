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
