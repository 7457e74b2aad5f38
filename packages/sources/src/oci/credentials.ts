import path from 'node:path'
import { InvalidError, jsonDepth, type ProcessRunner } from '@disk-image/core'
import { readSettingsFile } from '../read-file.ts'
import { apiHost } from './reference.ts'

/** What a registry knows its user by. */
export type RegistryCredentials =
  | { readonly username: string; readonly password: string }
  /** A refresh token of OAuth 2, for the registry's own token server. */
  | { readonly identityToken: string }

/** Asked for the credentials of a registry when it wants some. */
export type CredentialSource = (
  /** Host and port, as in the reference. */
  host: string,
  repository: string,
) => Promise<RegistryCredentials | undefined>

/** Options of {@link registryCredentials}. */
export interface RegistryCredentialOptions {
  /** The variables of the process. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** The file to read, in place of the usual ones. */
  readonly file?: string | undefined
  /** Runs credential helpers. Without one, a registry that has a helper is refused. */
  readonly runner?: ProcessRunner | undefined
  /**
   * Helpers, `NAME` of `docker-credential-NAME`, by the registry that they are for, `*` for all others: asked before any
   * file is read. Where some are given, the files may name no further ones. @default those that the files name
   */
  readonly helpers?: Readonly<Record<string, string>> | undefined
  /** Ends a helper that runs. */
  readonly signal?: AbortSignal | undefined
}

/**
 * The credentials that podman, skopeo and docker keep: `REGISTRY_AUTH_FILE`, or the first of `containers/auth.json` in
 * `XDG_RUNTIME_DIR` and in `~/.config`, and docker's `config.json` that has some for the registry.
 *
 * @see https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
 */
export function registryCredentials(options: RegistryCredentialOptions): CredentialSource {
  return async (host, repository) => {
    const given = Object.entries(options.helpers ?? {})
    const [, helper] = given.find(([of]) => apiHost(of) === host) ?? given.find(([of]) => of === '*') ?? []
    const helped = helper === undefined ? undefined : await askHelper(helper, 'an option', host, options)
    if (helped !== undefined) return helped
    for (const file of credentialFiles(options)) {
      const settings = await readSettings(file)
      const found = settings && (await findCredentials(settings, file, host, repository, options))
      if (found !== undefined) return found
    }
    return undefined
  }
}

function credentialFiles({ environment, file }: RegistryCredentialOptions): string[] {
  const given = file ?? environment['REGISTRY_AUTH_FILE']
  if (given !== undefined && given !== '') return [given]
  const below = (folder: string | undefined, ...names: string[]): string[] =>
    folder === undefined || folder === '' ? [] : [path.join(folder, ...names)]
  const home = environment['HOME']
  const config = environment['XDG_CONFIG_HOME'] ?? below(home, '.config')[0]
  const docker = environment['DOCKER_CONFIG'] ?? below(home, '.docker')[0]
  return [
    ...below(environment['XDG_RUNTIME_DIR'], 'containers', 'auth.json'),
    ...below(config, 'containers', 'auth.json'),
    ...below(docker, 'config.json'),
  ]
}

type Fields = Readonly<Record<string, unknown>>

const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}

async function readSettings(file: string): Promise<Fields | undefined> {
  const text = await readSettingsFile(file)
  if (text === undefined || text.trim() === '') return undefined
  try {
    if (jsonDepth(text) > 32) throw new SyntaxError()
    return fieldsOf(JSON.parse(text))
  } catch {
    // The error would repeat what stands there.
    throw new InvalidError({ reason: `The credentials in ${file} are no JSON` })
  }
}

async function findCredentials(
  settings: Fields,
  file: string,
  host: string,
  repository: string,
  options: RegistryCredentialOptions,
): Promise<RegistryCredentials | undefined> {
  const keys = keysFor(host, repository)
  const helpers = fieldsOf(settings['credHelpers'])
  const helped = keys.find((key) => Object.hasOwn(helpers, key))
  if (helped !== undefined) return askHelper(helpers[helped], file, helped, options)
  const entries = new Map(
    Object.entries(fieldsOf(settings['auths'])).map(([key, entry]) => [plainKey(key), entry]),
  )
  const key = keys.find((one) => entries.has(one))
  const found = key === undefined ? undefined : credentialsOf(fieldsOf(entries.get(key)), file, key)
  if (found !== undefined) return found
  const store = settings['credsStore']
  return store === undefined || store === ''
    ? undefined
    : askHelper(store, file, keys.at(-1) ?? host, options)
}

/** The registry with more and more of the repository cut off: podman keeps credentials for a part of a registry, too. */
function keysFor(host: string, repository: string): string[] {
  const parts = repository.split('/')
  const paths = parts.map((_, index) => `${host}/${parts.slice(0, parts.length - index).join('/')}`)
  return [...paths, ...(host === 'registry-1.docker.io' ? ['docker.io', 'index.docker.io'] : []), host]
}

/** docker wrote URLs once: `https://index.docker.io/v1/`. */
function plainKey(key: string): string {
  const withoutScheme = key.replace(/^https?:\/\//, '')
  return withoutScheme === key ? key.replace(/\/$/, '') : withoutScheme.replace(/\/.*$/s, '')
}

function credentialsOf(entry: Fields, file: string, key: string): RegistryCredentials | undefined {
  const { auth, username, password, identitytoken: identityToken } = entry
  if (typeof identityToken === 'string' && identityToken !== '') return { identityToken }
  if (typeof auth === 'string' && auth !== '') {
    const text = Buffer.from(auth, 'base64').toString()
    const colon = text.indexOf(':')
    if (colon > 0)
      return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') }
    throw new InvalidError({
      reason: `The entry for ${key} in ${file} has no user and password; log in anew`,
    })
  }
  return typeof username === 'string' && typeof password === 'string' && username !== ''
    ? { username, password }
    : undefined
}

/** @see https://github.com/docker/docker-credential-helpers#development */
async function askHelper(
  name: unknown,
  file: string,
  key: string,
  { runner, helpers, environment, signal }: RegistryCredentialOptions,
): Promise<RegistryCredentials | undefined> {
  if (typeof name !== 'string' || !/^[\w.-]{1,64}$/.test(name)) {
    throw new InvalidError({ reason: `The credential helper for ${key} in ${file} has no possible name` })
  }
  const program = `docker-credential-${name}`
  const isAllowed = helpers === undefined || Object.values(helpers).includes(name)
  if (runner === undefined || !isAllowed) {
    throw new InvalidError({
      reason: `${file} leaves ${key} to the program ${program}, which is only started where it is named as a credential helper (--credential-helper ${name}); name it, or log in to another file`,
    })
  }
  const server = /(^|\.)docker\.io$/.test(key) ? 'https://index.docker.io/v1/' : key
  let stdout: string
  try {
    const limits = { timeoutMs: 30_000, maxOutputBytes: 256 * 1024, environment: definedIn(environment) }
    const command = { file: program, args: ['get'] }
    stdout = (await runner.run(command, { input: server, signal, ...limits })).stdout
  } catch (error) {
    signal?.throwIfAborted()
    // Its output is not passed on: half of an answer may be a secret.
    const said = (error as { stdout?: unknown }).stdout
    if (typeof said === 'string' && said.includes('credentials not found')) return undefined
    throw new InvalidError({ reason: `The program ${program} gave no credentials for ${key}` })
  }
  const { Username: username, Secret: password } = parseAnswer(stdout, program)
  if (typeof username !== 'string' || typeof password !== 'string') {
    throw new InvalidError({ reason: `The program ${program} gave no user and secret for ${key}` })
  }
  return username === '<token>' ? { identityToken: password } : { username, password }
}

/** A helper finds its own store by the variables of its user. */
function definedIn(environment: RegistryCredentialOptions['environment']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}

function parseAnswer(text: string, program: string): Fields {
  try {
    return fieldsOf(JSON.parse(text))
  } catch {
    throw new InvalidError({ reason: `The answer of the program ${program} is no JSON` })
  }
}
