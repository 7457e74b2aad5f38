import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import { readSettingsFile } from '../read-file.ts'
import type { S3Credentials } from './sign.ts'

/** Where a bucket is asked for, and by whom. */
export interface S3Settings {
  /** Undefined: nothing is signed, as for a public bucket. */
  readonly credentials: S3Credentials | undefined
  readonly region: string | undefined
  /** In place of Amazon's own servers. */
  readonly endpointUrl: string | undefined
  /** Undefined: by the bucket's name and the endpoint. */
  readonly addressingStyle: 'path' | 'virtual' | undefined
}

/** Options of {@link s3Settings}. */
export interface S3SettingsOptions {
  /** The variables of the process: those that the AWS command reads. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** A profile of the files; its credentials count more than those of the environment then. */
  readonly profile?: string | undefined
}

/**
 * What the AWS command would use: the environment (`AWS_ACCESS_KEY_ID` …), then the profile of `~/.aws/credentials` and
 * `~/.aws/config`.
 *
 * @throws {InvalidError} where the profile is not there, is half, or gets its credentials in a way that is not known here
 * @see https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html
 */
export async function s3Settings({ environment, profile }: S3SettingsOptions): Promise<S3Settings> {
  const value = (...names: string[]): string | undefined =>
    names.map((name) => environment[name]).find((text) => text !== undefined && text !== '')
  const name = profile ?? value('AWS_PROFILE', 'AWS_DEFAULT_PROFILE')
  const file = (given: string | undefined, usual: string): string | undefined => {
    const home = environment['HOME']
    return given ?? (home === undefined || home === '' ? undefined : path.join(home, '.aws', usual))
  }
  const config = await readSections(file(value('AWS_CONFIG_FILE'), 'config'))
  const secrets = await readSections(file(value('AWS_SHARED_CREDENTIALS_FILE'), 'credentials'))
  const inConfig =
    name === undefined || name === 'default'
      ? (config.get('profile default') ?? config.get('default'))
      : config.get(`profile ${name}`)
  const inSecrets = secrets.get(name ?? 'default')
  if (name !== undefined && inConfig === undefined && inSecrets === undefined) {
    throw new InvalidError({
      reason: `No AWS profile ${JSON.stringify(name.slice(0, 100))} in the configuration files`,
    })
  }
  const fromEnvironment = credentialsOf('the environment', (key) => value(key.toUpperCase()))
  const settings = new Map([...(inConfig ?? []), ...(inSecrets ?? [])])
  const fromFiles = (): S3Credentials | undefined => {
    const found = credentialsOf(`the AWS profile ${name ?? 'default'}`, (key) => settings.get(key))
    if (found === undefined) refuseOtherWays(settings, name ?? 'default')
    return found
  }
  const services = config.get(`services ${settings.get('services') ?? ''}`)
  const isIgnored = value('AWS_IGNORE_CONFIGURED_ENDPOINT_URLS') === 'true'
  const configured = isIgnored
    ? undefined
    : (value('AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL') ??
      services?.get('s3.endpoint_url') ??
      settings.get('s3.endpoint_url') ??
      settings.get('endpoint_url'))
  const style = settings.get('s3.addressing_style')
  return {
    credentials: profile === undefined ? (fromEnvironment ?? fromFiles()) : fromFiles(),
    region: value('AWS_REGION', 'AWS_DEFAULT_REGION') ?? settings.get('region'),
    endpointUrl: configured,
    addressingStyle: style === 'path' || style === 'virtual' ? style : undefined,
  }
}

function credentialsOf(where: string, value: (key: string) => string | undefined): S3Credentials | undefined {
  const accessKeyId = value('aws_access_key_id')
  const secretAccessKey = value('aws_secret_access_key')
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new InvalidError({
      reason: `Of aws_access_key_id and aws_secret_access_key ${where} has only one`,
    })
  }
  return { accessKeyId, secretAccessKey, sessionToken: value('aws_session_token') }
}

const otherWays = [
  'sso_session',
  'sso_start_url',
  'role_arn',
  'credential_process',
  'web_identity_token_file',
  'login_session',
]

/** Without its credentials a request would go out unsigned, and be refused for a reason that misleads. */
function refuseOtherWays(settings: ReadonlyMap<string, string>, name: string): void {
  const way = otherWays.find((key) => settings.has(key))
  if (way === undefined) return
  throw new InvalidError({
    reason: `The AWS profile ${name} gets its credentials by ${way}, which is not done here; run: eval "$(aws configure export-credentials --profile ${name} --format env)"`,
  })
}

/** Sections by their names, with their keys in lower case; what is indented below `s3 =` is `s3.KEY`. */
async function readSections(file: string | undefined): Promise<Map<string, Map<string, string>>> {
  const sections = new Map<string, Map<string, string>>()
  const text = file === undefined ? undefined : await readSettingsFile(file)
  let section: Map<string, string> | undefined
  let group = ''
  for (const line of text?.split(/\r?\n/) ?? []) {
    if (/^\s*(?:[#;]|$)/.test(line)) continue
    const heading = /^\[\s*([^\]]*?)\s*\]/.exec(line)?.[1]?.replaceAll(/\s+/g, ' ')
    if (heading !== undefined) {
      section = sections.get(heading) ?? new Map<string, string>()
      sections.set(heading, section)
      group = ''
      continue
    }
    const equals = line.indexOf('=')
    if (equals < 0 || section === undefined) continue
    const key = line.slice(0, equals).trim().toLowerCase()
    // A comment stands behind white space.
    const value = line
      .slice(equals + 1)
      .replace(/\s[#;].*$/s, '')
      .trim()
    if (/^\s/.test(line) && group !== '') {
      section.set(`${group}.${key}`, value)
    } else {
      group = value === '' ? key : ''
      if (value !== '') section.set(key, value)
    }
  }
  return sections
}
