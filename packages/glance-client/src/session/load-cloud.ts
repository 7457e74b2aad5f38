import { adaptLogger, InvalidError } from '@disk-image/core'
import type { Logger } from '@disk-image/core'
import { configDirectories, readConfigFile, toMapping } from './config-files.ts'
import type { Environment, Mapping } from './config-files.ts'

/** Which cloud is wanted, and where its description is. */
export interface LoadCloudOptions {
  /** `process.env`, or what stands for it. */
  readonly environment: Environment
  /** An entry of clouds.yaml. @default `OS_CLOUD`, else the `OS_*` variables, else the only entry */
  readonly cloud?: string | undefined
  readonly region?: string | undefined
  /** @default '.' */
  readonly workingDirectory?: string | undefined
  /** Instead of the usual folders. */
  readonly directories?: readonly string[] | undefined
  readonly logger?: Logger | undefined
}

/** A cloud's settings, merged; names as in clouds.yaml. */
export interface CloudSettings {
  /** The entry's name; `envvars` where the environment describes the cloud. */
  readonly name: string
  readonly settings: Mapping
}

/** Variables that choose a cloud instead of describing one. */
const choosing: ReadonlySet<string> = new Set([
  'OS_CLOUD',
  'OS_CLOUD_NAME',
  'OS_REGION_NAME',
  'OS_INTERFACE',
  'OS_ENDPOINT_TYPE',
  'OS_CLIENT_CONFIG_FILE',
  'OS_CLIENT_SECURE_FILE',
])

/**
 * Finds a cloud: the one named, the one that `OS_CLOUD` names, the one that the `OS_*` variables describe, or the only
 * one there is. Of the variables only `OS_REGION_NAME` and `OS_INTERFACE` change an entry of the file.
 *
 * @throws {InvalidError} where there is no such cloud or region, with those there are
 */
export async function loadCloud(options: LoadCloudOptions): Promise<CloudSettings> {
  const { environment } = options
  const logger = adaptLogger(options.logger)
  const directories = options.directories ?? configDirectories(environment, options.workingDirectory ?? '.')
  const clouds = await readConfigFile('clouds', environment['OS_CLIENT_CONFIG_FILE'], directories, logger)
  const secure = await readConfigFile('secure', environment['OS_CLIENT_SECURE_FILE'], directories, logger)
  const listed = toMapping(clouds['clouds'])
  const secrets = toMapping(secure['clouds'])
  // Secrets alone are no cloud.
  const entries = Object.fromEntries(
    Object.entries(listed).map(([name, entry]) => [name, merge(toMapping(entry), toMapping(secrets[name]))]),
  )
  const names = Object.keys(entries)
  const wanted = options.cloud ?? nonEmpty(environment['OS_CLOUD'])
  const fromVariables = environmentCloud(environment)
  const name =
    wanted ?? (fromVariables === undefined ? (names.length === 1 ? names[0] : undefined) : 'envvars')
  const known = names.length === 0 ? 'none' : names.toSorted().join(', ')
  if (name === undefined) {
    throw new InvalidError({
      reason:
        names.length === 0
          ? 'No cloud is configured: there is no clouds.yaml, and no OS_AUTH_URL is set'
          : `Choose a cloud, by its name or with OS_CLOUD; there are: ${known}`,
    })
  }
  const isVariables = name === 'envvars' && !Object.hasOwn(entries, name) && fromVariables !== undefined
  if (!isVariables && !Object.hasOwn(entries, name)) {
    throw new InvalidError({ reason: `There is no cloud ${JSON.stringify(name)}; there are: ${known}` })
  }
  const entry = isVariables ? fromVariables : toMapping(entries[name])
  const profile = await profileOf(entry, directories, logger)
  const withProfile = merge(profile, entry)
  const chosenRegion = options.region ?? nonEmpty(environment['OS_REGION_NAME'])
  const regional = applyRegion(withProfile, chosenRegion)
  const chosenInterface = nonEmpty(environment['OS_INTERFACE']) ?? nonEmpty(environment['OS_ENDPOINT_TYPE'])
  const settings = chosenInterface === undefined ? regional : { ...regional, interface: chosenInterface }
  return { name, settings: expand(settings) }
}

/** A cloud out of `OS_*` variables, if there are any that describe one. */
function environmentCloud(environment: Environment): Mapping | undefined {
  const auth: Record<string, string> = {}
  const settings: Record<string, unknown> = {}
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith('OS_') || value === undefined || value === '') continue
    if (choosing.has(variable) || /^OS_(?:TEST|STD|LOG)/.test(variable)) continue
    const name = variable.slice(3).toLowerCase()
    if (topLevel.test(name)) settings[name] = value
    else auth[name] = value
  }
  if (Object.keys(auth).length === 0 && Object.keys(settings).length === 0) return undefined
  return { ...settings, auth }
}

/** Settings that are not part of signing in. */
const topLevel =
  /^(?:auth_type|auth_plugin|cacert|cert|key|insecure|verify|api_timeout|timeout|profile|.*_api_version|.*_endpoint_override|(?:image|key_manager)_endpoint|.*_service_(?:type|name)|image_interface|.*_retries)$/

async function profileOf(entry: Mapping, directories: readonly string[], logger: Logger): Promise<Mapping> {
  const name = entry['profile'] ?? entry['cloud']
  if (typeof name !== 'string' || name === '') return {}
  const file = await readConfigFile('clouds-public', undefined, directories, logger)
  const profiles = toMapping(file['public-clouds'])
  if (!Object.hasOwn(profiles, name)) {
    const known = Object.keys(profiles).toSorted().join(', ') || 'none'
    throw new InvalidError({
      reason: `There is no profile ${JSON.stringify(name)} in clouds-public.yaml; there are: ${known}`,
    })
  }
  return toMapping(profiles[name])
}

/** The values of a region go before the cloud's. @throws {InvalidError} where the cloud does not have it */
function applyRegion(cloud: Mapping, wanted: string | undefined): Mapping {
  const listed = Array.isArray(cloud['regions']) ? (cloud['regions'] as unknown[]) : []
  const regions = listed.map((region) =>
    typeof region === 'string' ? { name: region, values: {} } : { values: {}, ...toMapping(region) },
  ) as { name?: unknown; values: unknown }[]
  const own = cloud['region_name'] ?? cloud['region']
  const name = wanted ?? (typeof own === 'string' && own !== '' ? own : undefined) ?? regions[0]?.name
  if (typeof name !== 'string') return cloud
  const region = regions.find((candidate) => candidate.name === name)
  if (regions.length > 0 && region === undefined) {
    const known = regions.map((candidate) => String(candidate.name)).join(', ')
    throw new InvalidError({ reason: `The cloud has no region ${JSON.stringify(name)}; it has: ${known}` })
  }
  return { ...merge(cloud, toMapping(region?.values)), region_name: name }
}

/** Mappings are merged member by member; everything else is replaced. */
function merge(base: Mapping, over: Mapping): Mapping {
  const merged: Record<string, unknown> = { ...base }
  for (const [name, value] of Object.entries(over)) {
    if (name === '__proto__') continue
    const both = isMapping(value) && isMapping(merged[name])
    merged[name] = both ? merge(toMapping(merged[name]), toMapping(value)) : value
  }
  return merged
}

function isMapping(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Values may refer to others as `{region_name}`; secrets are left as they are. */
function expand(settings: Mapping): Mapping {
  const replace = (text: string): string =>
    text.replace(/\{(\w+)\}/g, (whole, name: string) => {
      const value = settings[name]
      return typeof value === 'string' ? value : whole
    })
  const through = (mapping: Mapping): Mapping =>
    Object.fromEntries(
      Object.entries(mapping).map(([name, value]) => [
        name,
        typeof value === 'string' && !/password|secret|token|passcode/.test(name)
          ? replace(value)
          : name === 'auth'
            ? through(toMapping(value))
            : value,
      ]),
    )
  return through(settings)
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}
