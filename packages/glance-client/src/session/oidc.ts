import { printable } from '@disk-image/core'
import { ConfigurationError, readJson } from '@disk-image/http'
import type { Http } from '@disk-image/http'
import { need } from './auth-options.ts'
import type { AuthOptions } from './auth-options.ts'
import { identityRefusal, secretsOfAccount } from './identity.ts'

/**
 * An access token of an OpenID Connect provider.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6749#section-4.3 and 4.4
 */
export async function oidcAccessToken(
  http: Pick<Http, 'send'>,
  type: string,
  auth: AuthOptions,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (type === 'v3oidcaccesstoken') return need(type, 'access_token', auth.accessToken)
  const clientId = need(type, 'client_id', auth.clientId)
  const form = new URLSearchParams({ scope: auth.openidScope ?? 'openid profile' })
  if (type === 'v3oidcpassword') {
    form.set('grant_type', 'password')
    form.set('username', need(type, 'username', auth.username))
    form.set('password', need(type, 'password', auth.password))
  } else {
    form.set('grant_type', 'client_credentials')
  }
  const basic = Buffer.from(`${formEncode(clientId)}:${formEncode(auth.clientSecret ?? '')}`).toString(
    'base64',
  )
  const url = await tokenEndpoint(http, type, auth, signal)
  const response = await http.send({
    method: 'POST',
    url,
    headers: {
      accept: 'application/json',
      authorization: `Basic ${basic}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: form.toString(),
    signal,
  })
  const kind = auth.accessTokenType === 'id_token' ? 'id_token' : 'access_token'
  const token = response.status === 200 ? member(response.text, kind) : undefined
  if (token !== undefined) return token
  const secrets = secretsOfAccount(auth, [basic])
  throw identityRefusal(response, { who: 'identity provider', option: 'access_token_endpoint', secrets })
}

async function tokenEndpoint(
  http: Pick<Http, 'send'>,
  type: string,
  auth: AuthOptions,
  signal: AbortSignal | undefined,
): Promise<URL> {
  if (auth.accessTokenEndpoint !== undefined) return toUrl(auth.accessTokenEndpoint)
  const discovery = need(type, 'access_token_endpoint or discovery_endpoint', auth.discoveryEndpoint)
  const response = await http.send({
    method: 'GET',
    url: toUrl(discovery),
    headers: { accept: 'application/json' },
    signal,
  })
  const endpoint = response.status === 200 ? member(response.text, 'token_endpoint') : undefined
  if (endpoint === undefined) {
    const secrets = secretsOfAccount(auth)
    throw identityRefusal(response, { who: 'identity provider', option: 'discovery_endpoint', secrets })
  }
  return toUrl(endpoint)
}

function toUrl(text: string): URL {
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return new URL(text)
  throw new ConfigurationError({ reason: `${printable(JSON.stringify(text), 200)} is no http or https URL` })
}

function formEncode(text: string): string {
  return new URLSearchParams({ x: text }).toString().slice(2)
}

function member(text: string, name: string): string | undefined {
  try {
    const value = (readJson(text) as Record<string, unknown>)[name]
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}
