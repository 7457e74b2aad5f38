import { adaptLogger, InvalidError } from '@disk-image/core'
import type { Logger } from '@disk-image/core'
import { ConfigurationError } from '@disk-image/http'
import { configDirectories, readConfigFile } from './config-files.ts'
import type { ConfigFile, ConfigPlaces } from './config-files.ts'
import type { Environment } from './read-file.ts'
import { isMapping, toMapping } from './config-yaml.ts'
import type { Mapping } from './config-yaml.ts'
import { environmentCloud, environmentOverrides } from './environment-cloud.ts'
import { chooseRegion } from './regions.ts'
import { vendorProfile } from './vendor-profiles.ts'

/** Which cloud is wanted, and where its description is. */
export interface LoadCloudOptions {
  /** `process.env`, or what stands for it. */
  readonly environment: Environment
  /** An entry of clouds.yaml. @default `OS_CLOUD`, else the `OS_*` variables, else the only entry */
  readonly cloud?: string | undefined
  readonly region?: string | undefined
  /** What relative paths are relative to. @default '.' */
  readonly workingDirectory?: string | undefined
  /** Instead of the usual folders. */
  readonly directories?: readonly string[] | undefined
  readonly logger?: Logger | undefined
}

/** A cloud's settings, merged; names as in clouds.yaml, scalars as they are written there. */
export interface CloudSettings {
  /** The entry's name; `envvars`, or `OS_CLOUD_NAME`, where the environment describes the cloud. */
  readonly name: string
  /** For complaints: the file and line of its entry, or the `OS_*` variables. */
  readonly origin: string
  readonly settings: Mapping
}

/** A cloud before its profile and region. */
interface Entry {
  readonly name: string
  readonly origin: string
  readonly entry: Mapping
}

/**
 * Finds a cloud: the one named, the one that `OS_CLOUD` names, the one that the `OS_*` variables describe, or the only
 * one there is. Of the variables only `OS_REGION_NAME`, `OS_INTERFACE`, `OS_CACERT`, `OS_CERT` and `OS_KEY` change an
 * entry of the file.
 *
 * @throws {InvalidError} where a file is broken, or there is no such cloud or region, with those there are
 */
export async function loadCloud(options: LoadCloudOptions): Promise<CloudSettings> {
  const { environment, workingDirectory = '.' } = options
  const logger = adaptLogger(options.logger)
  const directories = options.directories ?? configDirectories(environment, workingDirectory)
  const places: ConfigPlaces = { environment, workingDirectory, directories, logger, passedOver: [] }
  const { name, origin, entry } = await findEntry(options.cloud ?? nonEmpty(environment['OS_CLOUD']), places)
  try {
    const profile = await profileOf(entry, places)
    const wanted = options.region ?? nonEmpty(environment['OS_REGION_NAME'])
    const region = chooseRegion(entry, profile, wanted, logger)
    const merged = merge(merge(profile, entry), withUnderscores(region.values))
    const { regions: _, ...all } = { ...merged, ...environmentOverrides(environment) } as Record<
      string,
      unknown
    >
    const regional = region.name === undefined ? all : { ...all, region_name: region.name }
    return { name, origin, settings: expand(regional) }
  } catch (error) {
    throw withOrigin(error, name, origin)
  }
}

/** Says where the cloud of an error is described. */
export function withOrigin(error: unknown, name: string, origin: string): unknown {
  if (!(error instanceof InvalidError)) return error
  const reason = `${error.reason} (the cloud ${JSON.stringify(name)}, ${origin})`
  const init = { reason, cause: error }
  return error instanceof ConfigurationError ? new ConfigurationError(init) : new InvalidError(init)
}

async function findEntry(wanted: string | undefined, places: ConfigPlaces): Promise<Entry> {
  const { environment } = places
  const clouds = await readConfigFile('clouds', places)
  const secure = await readConfigFile('secure', places)
  const listed = entriesOf(clouds)
  const secrets = entriesOf(secure)
  const variables = environmentCloud(environment)
  const variablesName = nonEmpty(environment['OS_CLOUD_NAME']) ?? 'envvars'
  if (variables !== undefined && Object.hasOwn(listed, variablesName)) {
    throw new InvalidError({
      reason: `The OS_* variables describe a cloud ${JSON.stringify(variablesName)}, and so does ${clouds?.file}: unset them, or name theirs with OS_CLOUD_NAME`,
    })
  }
  // Secrets of a cloud that stands nowhere else are not the only cloud there is, unless all of it is there.
  const names = Object.keys(clouds === undefined ? secrets : listed)
  const only = names.length === 1 ? names[0] : undefined
  const name = wanted ?? (variables === undefined ? only : variablesName)
  const unopened =
    places.passedOver.length === 0 ? '' : `; could not be read: ${places.passedOver.join(', ')}`
  const known = names.length === 0 ? 'none' : names.toSorted().join(', ')
  if (name === undefined) {
    const searched = `looked for in: ${places.directories.join(', ') || 'no folder'}${unopened}`
    const reason =
      clouds === undefined
        ? `No cloud is configured: there is no clouds.yaml (${searched}), and no OS_AUTH_URL is set`
        : names.length === 0
          ? `No cloud is configured: ${clouds.file} has none below clouds:`
          : `Choose a cloud, by its name or with OS_CLOUD; there are: ${known}`
    throw new InvalidError({ reason })
  }
  if (name === variablesName && variables !== undefined) {
    return { name, origin: 'of the OS_* variables', entry: variables }
  }
  if (!Object.hasOwn(listed, name) && !Object.hasOwn(secrets, name)) {
    const where =
      clouds === undefined
        ? `there is no clouds.yaml${unopened}`
        : `there are: ${known} (${clouds.file}${unopened})`
    throw new InvalidError({ reason: `There is no cloud ${JSON.stringify(name)}; ${where}` })
  }
  const parts = [ownEntry(clouds, listed, name), ownEntry(secure, secrets, name)]
  const described = parts.find((part) => part !== undefined)
  return {
    name,
    origin: `in ${described?.origin ?? 'no file'}`,
    entry: merge(parts[0]?.entry ?? {}, parts[1]?.entry ?? {}),
  }
}

function entriesOf(file: ConfigFile | undefined): Mapping {
  const clouds = file?.content['clouds']
  if (clouds === undefined || clouds === null || isMapping(clouds)) return toMapping(clouds)
  const line = file?.lineOf(file.content, 'clouds') ?? 1
  throw new InvalidError({
    reason: `The file ${file?.file} is broken: line ${line}: clouds must be a mapping of names to clouds`,
  })
}

function ownEntry(
  file: ConfigFile | undefined,
  entries: Mapping,
  name: string,
): { entry: Mapping; origin: string } | undefined {
  if (file === undefined || !Object.hasOwn(entries, name)) return undefined
  const entry = entries[name] ?? {}
  const line = file.lineOf(entries, name)
  const origin = line === undefined ? file.file : `${file.file}, line ${line}`
  const auth = toMapping(entry)['auth']
  if (!isMapping(entry) || (auth !== undefined && auth !== null && !isMapping(auth))) {
    const what = isMapping(entry) ? 'auth' : 'the cloud'
    throw new InvalidError({
      reason: `The file ${origin}: ${what} must be a mapping (the cloud ${JSON.stringify(name)})`,
    })
  }
  return { entry: withUnderscores(entry), origin }
}

/** The settings that a cloud takes over from a profile: one of clouds-public.yaml, or a well-known one. */
async function profileOf(entry: Mapping, places: ConfigPlaces): Promise<Mapping> {
  const name = entry['profile'] ?? entry['cloud']
  if (typeof name !== 'string' || name === '') return {}
  const file = await readConfigFile('clouds-public', places)
  const profiles = toMapping(file?.content['public-clouds'])
  if (Object.hasOwn(profiles, name)) return withUnderscores(toMapping(profiles[name]))
  const builtIn = vendorProfile(name)
  if (builtIn !== undefined) return builtIn
  if (/^https?:\/\//i.test(name)) {
    throw new InvalidError({
      reason: `The profile ${JSON.stringify(name)} is a URL, which is not fetched: write what it says into the cloud's entry or into clouds-public.yaml`,
    })
  }
  const known = Object.keys(profiles).toSorted().join(', ') || 'none'
  const reason = `There is no profile ${JSON.stringify(name)} in clouds-public.yaml; there are: ${known}`
  // A cloud that says itself where it is needs no profile.
  if (toMapping(entry['auth'])['auth_url'] === undefined && entry['auth_url'] === undefined) {
    throw new InvalidError({ reason })
  }
  places.logger.warn(reason)
  return {}
}

/** Mappings are merged member by member; everything else is replaced, and null leaves what there is of a mapping. */
function merge(base: Mapping, over: Mapping): Mapping {
  const merged: Record<string, unknown> = { ...base }
  for (const [name, value] of Object.entries(over)) {
    if (name === '__proto__') continue
    const before = merged[name]
    if (isMapping(before)) merged[name] = isMapping(value) ? merge(before, value) : (value ?? before)
    else merged[name] = value
  }
  return merged
}

/** `auth-url` is `auth_url`. */
function withUnderscores(mapping: Mapping): Mapping {
  return Object.fromEntries(
    Object.entries(mapping).map(([name, value]) => [
      name.replaceAll('-', '_'),
      isMapping(value) ? withUnderscores(value) : value,
    ]),
  )
}

/** Settings and `auth_url` may refer to settings as `{region_name}`. */
function expand(settings: Mapping): Mapping {
  const replace = (value: unknown): unknown =>
    typeof value !== 'string'
      ? value
      : value.replace(/\{(\w+)\}/g, (whole, name: string) => {
          const other = settings[name]
          return typeof other === 'string' ? other : whole
        })
  const expanded = Object.entries(settings).map(([name, value]) => [
    name,
    /password|secret|token|passcode/.test(name) ? value : replace(value),
  ])
  const auth = toMapping(settings['auth'])
  const { auth_url: url } = auth
  return {
    ...(Object.fromEntries(expanded) as Mapping),
    auth: url === undefined ? auth : { ...auth, auth_url: replace(url) },
  }
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}
