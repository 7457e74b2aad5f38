import type { ImageError } from '@disk-image/core'
import { ConfigurationError, errorText, proxyOf, redirectText } from '@disk-image/http'
import type { HttpResponse } from '@disk-image/http'
import { AuthenticationFailedError, IdentityUnreachableError } from '../errors.ts'
import { missing, need, toAuthType } from './auth-options.ts'
import type { AuthOptions } from './auth-options.ts'

/** The `identity` part of a token request. */
interface Identity {
  readonly methods: readonly string[]
  readonly [method: string]: unknown
}

type Method = readonly [name: string, body: object]

/**
 * Whether a sign-in with Keystone has all that it needs, before anything is sent.
 *
 * @throws {ConfigurationError} naming what is missing
 */
export function checkSignIn(name: string, auth: AuthOptions): void {
  const type = toAuthType(name)
  if (type === undefined || ['none', 'admin_token', 'http_basic'].includes(type)) return
  if (!/^https?:\/\//i.test(auth.authUrl ?? '') || !URL.canParse(auth.authUrl ?? '')) {
    throw new ConfigurationError({ reason: 'Signing in needs auth_url, an http or https URL' })
  }
  if (!type.startsWith('v3oidc')) keystoneIdentity(type, auth)
  // An application credential has its scope already, whatever else is left over in the settings.
  if (type !== 'v3applicationcredential') tokenScope(auth)
}

/** Builds the identity of the methods that need nothing but Keystone. @throws {ConfigurationError} naming what is missing */
export function keystoneIdentity(type: string, auth: AuthOptions): Identity {
  const methods = type === 'v3multifactor' ? multifactor(auth) : [method(type, auth)]
  return { methods: methods.map(([name]) => name), ...Object.fromEntries(methods) }
}

function multifactor(auth: AuthOptions): Method[] {
  const names = auth.authMethods ?? []
  if (names.length === 0) throw missing('v3multifactor', 'auth_methods')
  return names.map((name) => method(name.trim().replace(/^v3/, ''), auth))
}

function method(type: string, auth: AuthOptions): Method {
  switch (type) {
    case 'password':
      return ['password', { user: { ...user(type, auth), password: need(type, 'password', auth.password) } }]
    case 'v3totp':
    case 'totp':
      return ['totp', { user: { ...user(type, auth), passcode: need(type, 'passcode', auth.passcode) } }]
    case 'token':
      return ['token', { id: need(type, 'token', auth.token) }]
    case 'v3applicationcredential':
    case 'applicationcredential':
      return ['application_credential', applicationCredential(auth)]
    default:
      throw new ConfigurationError({ reason: `The auth method ${JSON.stringify(type)} is not known` })
  }
}

function applicationCredential(auth: AuthOptions): object {
  const type = 'v3applicationcredential'
  const secret = need(type, 'application_credential_secret', auth.applicationCredentialSecret)
  if (auth.applicationCredentialId !== undefined) return { id: auth.applicationCredentialId, secret }
  const name = need(
    type,
    'application_credential_id or application_credential_name',
    auth.applicationCredentialName,
  )
  return { name, secret, user: user(type, auth) }
}

function user(type: string, auth: AuthOptions): object {
  if (auth.userId !== undefined) return { id: auth.userId }
  const name = need(type, 'username or user_id', auth.username)
  const domain = domainOf(
    auth.userDomainId ?? (auth.userDomainName === undefined ? auth.defaultDomainId : undefined),
    auth.userDomainName ?? auth.defaultDomainName,
  )
  if (domain === undefined) throw missing(type, 'user_domain_name or user_domain_id')
  return { name, domain }
}

function domainOf(id: string | undefined, name: string | undefined): object | undefined {
  if (id !== undefined) return { id }
  return name === undefined ? undefined : { name }
}

/**
 * The `scope` part of a token request.
 *
 * @returns undefined where none is asked for
 * @throws {ConfigurationError} where several are given
 */
export function tokenScope(auth: AuthOptions): object | 'unscoped' | undefined {
  const project =
    auth.projectId === undefined
      ? auth.projectName === undefined
        ? undefined
        : { name: auth.projectName, domain: projectDomain(auth) }
      : { id: auth.projectId }
  const domain = domainOf(auth.domainId, auth.domainName)
  const scopes: [string, object][] = []
  if (auth.trustId !== undefined) scopes.push(['trust', { 'OS-TRUST:trust': { id: auth.trustId } }])
  if (project !== undefined) scopes.push(['project', { project }])
  if (domain !== undefined) scopes.push(['domain', { domain }])
  if (auth.systemScope !== undefined) scopes.push(['system', { system: { all: true } }])
  if (scopes.length > 1) {
    throw new ConfigurationError({
      reason: `A token has one scope, but several are given: ${scopes.map(([name]) => name).join(', ')}`,
    })
  }
  return scopes[0]?.[1] ?? (auth.unscoped === true ? 'unscoped' : undefined)
}

function projectDomain(auth: AuthOptions): object {
  const domain = domainOf(
    auth.projectDomainId ?? (auth.projectDomainName === undefined ? auth.defaultDomainId : undefined),
    auth.projectDomainName ?? auth.defaultDomainName,
  )
  if (domain !== undefined) return domain
  throw new ConfigurationError({ reason: 'The project_name needs project_domain_name or project_domain_id' })
}

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
