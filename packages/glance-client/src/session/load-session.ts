import { proxyFromEnvironment } from '@disk-image/http'
import type { ProxyOptions, Timeouts, TlsOptions } from '@disk-image/http'
import type { AuthOptions } from './auth-options.ts'
import type { Mapping } from './config-yaml.ts'
import { createSession } from './create-session.ts'
import type { SessionOptions } from './create-session.ts'
import { checkSignIn } from './identity.ts'
import { loadCloud, withOrigin } from './load-cloud.ts'
import type { LoadCloudOptions } from './load-cloud.ts'
import { loadTls } from './load-tls.ts'
import type { Session } from './session.ts'
import { authSettings, textSetting } from './settings.ts'

/** Which cloud, and limits for signing in. */
export interface LoadSessionOptions extends LoadCloudOptions, Partial<Timeouts> {
  /** @default what `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` of the environment say */
  readonly proxy?: ProxyOptions | undefined
  /** How often a request to Keystone is retried. @default 3 */
  readonly retries?: number | undefined
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
  /** For `createGlanceClient`, which takes the same way. */
  readonly proxy: ProxyOptions | undefined
  readonly region: string | undefined
  /** Who signs in, for a person: `the user demo, project lab`. Undefined where the settings name nobody. */
  readonly account: string | undefined
}

/**
 * Makes a session from clouds.yaml or the `OS_*` variables.
 *
 * @throws {InvalidError} where the cloud, the region or a needed value is missing, in plain words
 */
export async function loadSession(options: LoadSessionOptions): Promise<LoadedSession> {
  const { name, origin, settings } = await loadCloud(options)
  try {
    const { environment, workingDirectory } = options
    const tls = await loadTls({ environment, workingDirectory, settings })
    const proxy = options.proxy ?? proxyFromEnvironment(environment)
    const region = textSetting(settings['region_name'])
    const session = sessionOf(settings, { ...options, region, tls, proxy })
    const account = accountOf(authSettings(settings))
    return { cloud: name, session, tls, proxy, region, account }
  } catch (error) {
    throw withOrigin(error, name, origin)
  }
}

function accountOf(auth: AuthOptions): string | undefined {
  const { username, userId, projectName, projectId, applicationCredentialName, applicationCredentialId } =
    auth
  const credential = applicationCredentialName ?? applicationCredentialId
  if (credential !== undefined) return `the application credential ${credential}`
  const user = username ?? userId
  const project = projectName ?? projectId
  const parts = [user && `the user ${user}`, project && `project ${project}`]
  return parts.filter(Boolean).join(', ') || undefined
}

function sessionOf(settings: Mapping, options: SessionOptions): Session {
  const auth = authSettings(settings)
  const type = authType(settings, auth)
  const imageEndpoint =
    textSetting(settings['image_endpoint_override']) ?? textSetting(settings['image_endpoint'])
  const keysEndpoint =
    textSetting(settings['key_manager_endpoint_override']) ?? textSetting(settings['key_manager_endpoint'])
  const serviceName = textSetting(settings['image_service_name'])
  const serviceType = textSetting(settings['image_service_type'])
  const session = createSession({
    ...options,
    authType: type,
    auth,
    interfaces: options.interfaces ?? interfacesOf(settings),
    endpointOverrides: {
      ...(imageEndpoint === undefined ? {} : { image: imageEndpoint }),
      ...(keysEndpoint === undefined ? {} : { 'key-manager': keysEndpoint }),
    },
    serviceNames: serviceName === undefined ? {} : { image: serviceName },
    serviceTypes: serviceType === undefined ? {} : { image: serviceType },
  })
  // What is missing is better said now, with the line, than with the first call.
  checkSignIn(type, auth)
  return session
}

/** The type given, or the one that the credentials given are for. */
function authType(settings: Mapping, auth: AuthOptions): string {
  const given = textSetting(settings['auth_type']) ?? textSetting(settings['auth_plugin'])
  if (given !== undefined) return given
  if (auth.applicationCredentialId !== undefined || auth.applicationCredentialName !== undefined) {
    return 'v3applicationcredential'
  }
  if (auth.token !== undefined && auth.password === undefined) {
    return auth.authUrl === undefined ? 'admin_token' : 'token'
  }
  return 'password'
}

function interfacesOf(settings: Mapping): string[] {
  const value: unknown =
    settings['image_endpoint_type'] ??
    settings['image_interface'] ??
    settings['endpoint_type'] ??
    settings['interface']
  const names = Array.isArray(value) ? value.map(String) : (textSetting(value) ?? 'public').split(',')
  return names.map((name) => name.trim().replace(/URL$/, ''))
}
