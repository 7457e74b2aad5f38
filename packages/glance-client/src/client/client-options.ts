import { adaptLogger, InvalidError } from '@disk-image/core'
import type { Logger, RequestContext } from '@disk-image/core'
import { resolveTimeouts, wrongOption } from '@disk-image/http'
import type { ProxyOptions, Timeouts, TlsOptions } from '@disk-image/http'
import { normalizeEndpoint } from '../session/session.ts'
import type { Session } from '../session/session.ts'

/** Settings of a Glance client. Either `endpoint` or `session` says where Glance is. */
export interface GlanceClientOptions extends Partial<Timeouts> {
  /**
   * Glance's URL, or several that stand for one service: the next is tried when one fails.
   * With a session these go before its catalog.
   */
  readonly endpoint?: string | readonly string[] | undefined
  /** Signs the calls; see `createSession` and `loadSession`. @default no authentication */
  readonly session?: Session | undefined
  readonly tls?: TlsOptions | undefined
  /** @default none: servers are reached directly */
  readonly proxy?: ProxyOptions | undefined
  /** How often a call, or a transfer that gets no further, is retried. @default 3 */
  readonly retries?: number | undefined
  /** Before the first retry; doubled for each further one. @default 1000 */
  readonly retryDelayMs?: number | undefined
  /** The longest wait, also where the service asks for more. @default 30 000 */
  readonly maximumRetryDelayMs?: number | undefined
  /** Whether the order of several endpoints is left to chance. @default true */
  readonly shuffleEndpoints?: boolean | undefined
  /** Further headers of each call, for example those that a proxy in front of Glance trusts. */
  readonly requestHeaders?: ((context: RequestContext) => Readonly<Record<string, string>>) | undefined
  readonly logger?: Logger | undefined
}

/** The same, complete. */
interface ResolvedClientOptions {
  readonly endpoints: readonly string[]
  readonly session: Session | undefined
  readonly tls: TlsOptions | undefined
  readonly proxy: ProxyOptions | undefined
  readonly retries: number
  readonly retryDelayMs: number
  readonly maximumRetryDelayMs: number
  readonly shuffle: boolean
  readonly requestHeaders: GlanceClientOptions['requestHeaders']
  readonly logger: Logger
  readonly timeouts: Timeouts
}

/** @throws {InvalidError} with the option's name, the value and what would be right */
export function resolveClientOptions(options: GlanceClientOptions): ResolvedClientOptions {
  const given = options.endpoint === undefined ? [] : [options.endpoint].flat()
  if (given.length === 0 && options.session === undefined) {
    throw new InvalidError({ reason: 'A Glance client needs the option endpoint (a URL) or session' })
  }
  return Object.freeze({
    endpoints: given.map((url) => normalizeEndpoint(url)),
    session: options.session,
    tls: options.tls,
    proxy: options.proxy,
    retries: count('retries', options.retries ?? 3),
    retryDelayMs: count('retryDelayMs', options.retryDelayMs ?? 1000),
    maximumRetryDelayMs: count('maximumRetryDelayMs', options.maximumRetryDelayMs ?? 30_000),
    shuffle: options.shuffleEndpoints ?? true,
    requestHeaders: options.requestHeaders,
    logger: adaptLogger(options.logger),
    timeouts: resolveTimeouts(options),
  })
}

function count(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw wrongOption(name, value, 'a whole number from 0 on')
  return value
}
