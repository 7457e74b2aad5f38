import { maskSecrets, secretsOf } from './mask-secrets.ts'
import type { Proxy } from './proxy.ts'
import type { ResponseHead } from './http1.ts'
import { ConnectionBrokenError, connectionReason, connectionText } from './connection-error.ts'

/** A proxy that does not let a request through: why, and what to do. */
export function proxyRefusal(
  target: URL,
  { url: { origin }, authorization }: Proxy,
  status: number,
): ConnectionBrokenError {
  const reason =
    status === 407
      ? authorization === undefined
        ? `the proxy ${origin} wants a user name and password (407): give them in its URL`
        : `the proxy ${origin} does not accept the user name and password of its URL (407)`
      : status < 500
        ? `the proxy ${origin} refuses to connect there (${status}): have it allowed there, or name the server in no_proxy`
        : `the proxy ${origin} could not connect there (${status})`
  return new ConnectionBrokenError('connect', connectionText(target, 'connect', reason), {
    fatal: status < 500,
  })
}

/** The failure of a request that a proxy was handed: its connection is to the proxy. */
export function throughProxy(error: unknown, target: URL, { url: { origin } }: Proxy): unknown {
  if (!(error instanceof ConnectionBrokenError) || error.message.includes(`the proxy ${origin}`)) return error
  const { phase, cause, fatal } = error
  const message =
    phase === 'connect' && cause !== undefined
      ? connectionText(target, 'connect', `the proxy ${origin}: ${connectionReason(cause)}`)
      : `${error.message} (through the proxy ${origin})`
  return new ConnectionBrokenError(phase, message, { cause, fatal })
}

/** An error's words and headers without what the proxy was given: it may repeat that. */
export function withoutLogin<Head extends Pick<ResponseHead, 'status' | 'headers'>>(
  proxy: Proxy | undefined,
  head: Head,
  text: string,
): { readonly head: Head; readonly text: string } {
  if (proxy?.authorization === undefined || head.status < 300) return { head, text }
  const secrets = secretsOf({ 'Proxy-Authorization': proxy.authorization })
  const headers = [...head.headers].map(([name, value]) => [name, maskSecrets(value, secrets)] as const)
  return { head: { ...head, headers: new Map(headers) }, text: maskSecrets(text, secrets) }
}
