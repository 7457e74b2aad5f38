import { InvalidError } from '@disk-image/core'
import type { AuthOptions } from './auth-options.ts'
import { toMapping } from './config-yaml.ts'
import type { Mapping } from './config-yaml.ts'

/** Members of `auth`, each with the other names that it may have. */
const names: Readonly<Record<string, readonly string[]>> = {
  auth_url: [],
  username: ['user_name', 'user'],
  user_id: [],
  user_domain_id: [],
  user_domain_name: [],
  password: [],
  passcode: [],
  token: ['auth_token'],
  project_id: ['tenant_id'],
  project_name: ['tenant_name'],
  project_domain_id: [],
  project_domain_name: [],
  domain_id: [],
  domain_name: [],
  default_domain_id: [],
  default_domain_name: [],
  trust_id: [],
  system_scope: [],
  application_credential_id: [],
  application_credential_name: [],
  application_credential_secret: [],
  endpoint: ['url'],
  identity_provider: [],
  protocol: [],
  client_id: [],
  client_secret: [],
  openid_scope: [],
  discovery_endpoint: [],
  access_token_endpoint: [],
  access_token_type: [],
  access_token: [],
}

/**
 * How a cloud signs in. What stands beside `auth` counts where `auth` does not have it, under any of its names.
 *
 * @throws {InvalidError} where `unscoped` is neither true nor false
 */
export function authSettings(settings: Mapping): AuthOptions {
  const auth = toMapping(settings['auth'])
  const found: Record<string, string> = {}
  for (const [name, others] of Object.entries(names)) {
    for (const spelling of [name, ...others]) {
      const value = textSetting(auth[spelling]) ?? textSetting(settings[spelling])
      if (value === undefined) continue
      found[name] = value
      break
    }
  }
  spreadDomain(found)
  const methods: unknown = auth['auth_methods'] ?? settings['auth_methods']
  const camel = Object.entries(found).map(([name, value]) => [
    name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ])
  return {
    ...(Object.fromEntries(camel) as AuthOptions),
    authMethods: Array.isArray(methods) ? methods.map(String) : textSetting(methods)?.split(','),
    unscoped: booleanSetting('unscoped', auth['unscoped'] ?? settings['unscoped']),
  }
}

/** Beside a project, a domain is that of the user and of the project, not what the token is for. */
function spreadDomain(found: Record<string, string>): void {
  if (found['project_id'] === undefined && found['project_name'] === undefined) return
  for (const kind of ['id', 'name']) {
    const domain = found[`domain_${kind}`]
    if (domain === undefined) continue
    found[`user_domain_${kind}`] ??= domain
    found[`project_domain_${kind}`] ??= domain
    delete found[`domain_${kind}`]
  }
}

/** A setting as text; undefined where there is none, or it is no scalar. */
export function textSetting(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}

/**
 * A setting that is true or false, in the words of YAML 1.1.
 *
 * @throws {InvalidError} where it is neither
 */
export function booleanSetting(name: string, value: unknown): boolean | undefined {
  if (value === undefined || value === null || value === '') return undefined
  const word = (typeof value === 'string' ? value : JSON.stringify(value)).toLowerCase()
  if (['true', 'yes', 'on', '1'].includes(word)) return true
  if (['false', 'no', 'off', '0'].includes(word)) return false
  throw new InvalidError({ reason: `The setting ${name} must be true or false` })
}
