import type { ImageError } from '@disk-image/core'
import { AuthenticationFailedError, ConfigurationError, IdentityUnreachableError } from '../errors.ts'
import { proxyOf, redirectText } from '../transport/api.ts'
import { errorText } from '../transport/error-text.ts'
import type { HttpResponse } from '../transport/http.ts'
import type { AuthOptions } from './auth-options.ts'

/** What must not be repeated of the way in which an account signs in. */
export function secretsOfAccount(auth: AuthOptions, more: readonly string[] = []): string[] {
  const { password, token, passcode, applicationCredentialSecret, clientSecret, accessToken } = auth
  const all = [password, token, passcode, applicationCredentialSecret, clientSecret, accessToken, ...more]
  return all.filter((secret) => secret !== undefined)
}

/**
 * The error that an answer without a token is, by whose fault it is.
 *
 * @param who answered: `identity service`, `identity provider`
 * @param option that leads there
 */
export function identityRefusal(
  { status, headers, text, url }: HttpResponse,
  {
    who,
    option,
    secrets,
  }: { readonly who: string; readonly option: string; readonly secrets: readonly string[] },
): ImageError {
  const from = proxyOf(status, headers, secrets)
  const words = errorText(text, secrets)
  const said = `the ${who} answered ${status}${from === undefined ? '' : ` from ${from}`}`
  const reason = `${said}${words === '' ? '' : `: ${words}`} (${url})`
  const location = status >= 300 && status < 400 ? headers.get('location') : undefined
  if (location !== undefined) {
    return new ConfigurationError({
      reason: `${said}: ${redirectText(new URL(url), location, secrets)} (${option}, ${url})`,
    })
  }
  if (status < 300)
    return new ConfigurationError({ reason: `${said} without a token: is ${option} right? (${url})` })
  if ([404, 405, 410].includes(status)) {
    return new ConfigurationError({ reason: `${reason}: is ${option} right?` })
  }
  const later = status === 407 || status === 408 || status === 425 || status === 429 || status >= 500
  return later ? new IdentityUnreachableError({ reason }) : new AuthenticationFailedError({ reason })
}
