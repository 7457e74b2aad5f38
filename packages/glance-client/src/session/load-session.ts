import { readFile } from 'node:fs/promises'
import { InvalidError } from '@disk-image/core'
import type { Timeouts } from '../transport/timeouts.ts'
import type { TlsOptions } from '../transport/tls-options.ts'
import type { AuthOptions } from './auth-options.ts'
import { toMapping } from './config-files.ts'
import type { Mapping } from './config-files.ts'
import { createSession } from './create-session.ts'
import { loadCloud } from './load-cloud.ts'
import type { LoadCloudOptions } from './load-cloud.ts'
import type { Session } from './session.ts'

/** Which cloud, and limits for signing in. */
export interface LoadSessionOptions extends LoadCloudOptions, Partial<Timeouts> {
  /** Before what the cloud's description says. */
  readonly interfaces?: readonly string[] | undefined
}

/** A session, and what the client needs beside it. */
export interface LoadedSession {
  /** The cloud's name. */
  readonly cloud: string
  readonly session: Session
  /** For `createGlanceClient`, which speaks to the services with the same certificates. */
  readonly tls: TlsOptions | undefined
  readonly region: string | undefined
}

/**
 * Makes a session from clouds.yaml or the `OS_*` variables.
 *
 * @throws {InvalidError} where the cloud, the region or a needed value is missing, in plain words
 */
export async function loadSession(options: LoadSessionOptions): Promise<LoadedSession> {
  const { name, settings } = await loadCloud(options)
  const auth = authOptions(settings)
  const region = text(settings['region_name'])
  const tls = await tlsOptions(settings)
  const imageOverride = text(settings['image_endpoint_override']) ?? text(settings['image_endpoint'])
  const keysOverride =
    text(settings['key_manager_endpoint_override']) ?? text(settings['key_manager_endpoint'])
  const serviceName = text(settings['image_service_name'])
  const serviceType = text(settings['image_service_type'])
  const session = createSession({
    ...options,
    authType: authType(settings, auth),
    auth,
    region,
    tls,
    interfaces: options.interfaces ?? interfacesOf(settings),
    endpointOverrides: {
      ...(imageOverride === undefined ? {} : { image: imageOverride }),
      ...(keysOverride === undefined ? {} : { 'key-manager': keysOverride }),
    },
    serviceNames: serviceName === undefined ? {} : { image: serviceName },
    serviceTypes: serviceType === undefined ? {} : { image: serviceType },
  })
  return { cloud: name, session, tls, region }
}

/** The type given, or the one that the credentials given are for. */
function authType(settings: Mapping, auth: AuthOptions): string {
  const given = text(settings['auth_type']) ?? text(settings['auth_plugin'])
  if (given !== undefined) return given
  if (auth.applicationCredentialId !== undefined || auth.applicationCredentialName !== undefined) {
    return 'v3applicationcredential'
  }
  if (auth.token !== undefined && auth.password === undefined) {
    return auth.authUrl === undefined ? 'admin_token' : 'token'
  }
  return 'password'
}

/** Other spellings of members of `auth`. */
const renamed: Readonly<Record<string, string>> = {
  tenant_name: 'project_name',
  tenant_id: 'project_id',
  user_name: 'username',
  url: 'endpoint',
}

/** Members of `auth` that are taken from the top level where they stand there; there they go first. */
const scopeNames = /^(?:domain|project|tenant|user_domain|project_domain)_(?:id|name)$/

function authOptions(settings: Mapping): AuthOptions {
  const all: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(toMapping(settings['auth']))) all[renamed[name] ?? name] = value
  for (const [name, value] of Object.entries(settings)) {
    const plain = renamed[name] ?? name
    if (scopeNames.test(name) || (topLevelCredentials.has(plain) && all[plain] === undefined))
      all[plain] = value
  }
  const options: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(all)) {
    const camel = name.replace(/_([a-z\d])/g, (_, letter: string) => letter.toUpperCase())
    if (name === 'auth_methods') {
      options[camel] = Array.isArray(value) ? value.map(String) : String(value).split(',')
    } else if (name === 'unscoped') {
      options[camel] = value === true || value === 'true'
    } else if (text(value) !== undefined) {
      options[camel] = text(value)
    }
  }
  return options
}

const topLevelCredentials: ReadonlySet<string> = new Set([
  'auth_url',
  'username',
  'user_id',
  'password',
  'token',
  'passcode',
  'endpoint',
])

function interfacesOf(settings: Mapping): string[] {
  const value = settings['image_interface'] ?? settings['interface'] ?? settings['endpoint_type']
  const names = Array.isArray(value) ? value.map(String) : (text(value) ?? 'public').split(',')
  return names.map((name) => name.trim().replace(/URL$/, ''))
}

async function tlsOptions(settings: Mapping): Promise<TlsOptions | undefined> {
  const [ca, cert, key] = await Promise.all(
    (['cacert', 'cert', 'key'] as const).map((name) => readPem(name, text(settings[name]))),
  )
  const verify = settings['verify']
  const insecure =
    isTrue(settings['insecure']) || verify === false || verify === 'false' || verify === 'False'
  if (ca === undefined && cert === undefined && key === undefined && !insecure) return undefined
  return { ca, cert, key, insecure }
}

function isTrue(value: unknown): boolean {
  return value === true || (typeof value === 'string' && /^(?:true|1|yes)$/i.test(value))
}

async function readPem(name: string, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new InvalidError({ reason: `The file ${file} (${name}) could not be read: ${code ?? 'unknown'}` })
  }
}

function text(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}
