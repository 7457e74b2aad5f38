import { ConfigurationError } from '@disk-image/http'

/** How an account signs in; names as in clouds.yaml's `auth`, in camelCase. */
export interface AuthOptions {
  readonly authUrl?: string | undefined
  readonly username?: string | undefined
  readonly userId?: string | undefined
  readonly userDomainId?: string | undefined
  readonly userDomainName?: string | undefined
  readonly password?: string | undefined
  readonly passcode?: string | undefined
  readonly token?: string | undefined
  readonly projectId?: string | undefined
  readonly projectName?: string | undefined
  readonly projectDomainId?: string | undefined
  readonly projectDomainName?: string | undefined
  readonly domainId?: string | undefined
  readonly domainName?: string | undefined
  readonly defaultDomainId?: string | undefined
  readonly defaultDomainName?: string | undefined
  readonly trustId?: string | undefined
  readonly systemScope?: string | undefined
  readonly unscoped?: boolean | undefined
  readonly applicationCredentialId?: string | undefined
  readonly applicationCredentialName?: string | undefined
  readonly applicationCredentialSecret?: string | undefined
  readonly endpoint?: string | undefined
  /** Of `v3multifactor`: `v3password`, `v3totp` … */
  readonly authMethods?: readonly string[] | undefined
  readonly identityProvider?: string | undefined
  readonly protocol?: string | undefined
  readonly clientId?: string | undefined
  readonly clientSecret?: string | undefined
  readonly openidScope?: string | undefined
  readonly discoveryEndpoint?: string | undefined
  readonly accessTokenEndpoint?: string | undefined
  readonly accessTokenType?: string | undefined
  readonly accessToken?: string | undefined
}

/** Ways to sign in that are known. */
export const authTypes = [
  'password',
  'token',
  'v3applicationcredential',
  'v3totp',
  'v3multifactor',
  'v3oidcpassword',
  'v3oidcclientcredentials',
  'v3oidcaccesstoken',
  'none',
  'admin_token',
  'http_basic',
] as const

/** One of them. */
export type AuthType = (typeof authTypes)[number]

const aliases: Readonly<Record<string, AuthType>> = {
  v3password: 'password',
  v3token: 'token',
  noauth: 'none',
  token_endpoint: 'admin_token',
}

/** The auth type that a configuration means; undefined where it is none that is known. */
export function toAuthType(name: string): AuthType | undefined {
  const plain = name.trim().toLowerCase()
  return aliases[plain] ?? authTypes.find((type) => type === plain)
}

/** An option that an auth type can't do without. @throws {ConfigurationError} where it is missing or empty */
export function need(type: string, name: string, value: string | undefined): string {
  if (value !== undefined && value !== '') return value
  throw missing(type, name)
}

/** The error for an option that is missing. */
export function missing(type: string, name: string): ConfigurationError {
  return new ConfigurationError({ reason: `The auth type ${type} needs ${name}` })
}
