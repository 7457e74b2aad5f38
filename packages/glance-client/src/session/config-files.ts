import path from 'node:path'
import { access, constants } from 'node:fs/promises'
import { InvalidError } from '@disk-image/core'
import type { Logger } from '@disk-image/core'
import { isMapping, parseConfigYaml } from './config-yaml.ts'
import type { ConfigYaml, Mapping } from './config-yaml.ts'
import { type Environment, expandPath, readBounded, readProblem } from './read-file.ts'

/** A configuration file that was found. */
export interface ConfigFile {
  readonly file: string
  readonly content: Mapping
  readonly lineOf: ConfigYaml['lineOf']
}

/** Where files are looked for. */
export interface ConfigPlaces {
  readonly environment: Environment
  readonly workingDirectory: string
  /** First to last. */
  readonly directories: readonly string[]
  readonly logger: Logger
  /** Gets the files that could not be opened, each with why. */
  readonly passedOver: string[]
}

/** No configuration is longer. */
const maximumBytes = 1024 * 1024

/** Where configuration files are looked for, first to last. */
export function configDirectories(environment: Environment, workingDirectory: string): string[] {
  const home = environment['SNAP_REAL_HOME'] ?? environment['HOME']
  const user = environment['XDG_CONFIG_HOME'] ?? (home === undefined ? undefined : path.join(home, '.config'))
  const system = (environment['XDG_CONFIG_DIRS'] ?? '/etc/xdg').split(':').filter((name) => name !== '')
  const directories = [
    workingDirectory,
    ...(user === undefined || user === '' ? [] : [path.join(user, 'openstack')]),
    ...(home === undefined ? [] : [path.join(home, '.config', 'openstack')]),
    ...system.map((directory) => path.join(directory, 'openstack')),
    '/etc/openstack',
  ]
  return [...new Set(directories)]
}

/** Names of files, and the variables that name one instead. */
const variables = {
  clouds: 'OS_CLIENT_CONFIG_FILE',
  secure: 'OS_CLIENT_SECURE_FILE',
  'clouds-public': 'OS_CLIENT_VENDOR_FILE',
} as const

/** Errors of a folder in which there is nothing to find. */
const absent: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR'])

/**
 * The first file of that name; undefined where there is none. One that can't be opened is passed over with a
 * warning.
 *
 * @throws {InvalidError} where a file is broken, or the one that a variable names is missing; with file and line
 */
export async function readConfigFile(
  name: keyof typeof variables,
  places: ConfigPlaces,
): Promise<ConfigFile | undefined> {
  const { environment, logger } = places
  const explicit = environment[variables[name]]
  if (explicit !== undefined && explicit !== '') {
    const file = path.resolve(places.workingDirectory, expandPath(explicit, environment))
    try {
      return await readMapping(file, logger, false)
    } catch (error) {
      if (error instanceof InvalidError) throw error
      throw new InvalidError({
        reason: `The file ${file} (${variables[name]}) could not be read: ${readProblem(error)}`,
      })
    }
  }
  for (const directory of places.directories) {
    for (const extension of ['yaml', 'yml', 'json']) {
      const file = path.join(directory, `${name}.${extension}`)
      try {
        return await readMapping(file, logger, true)
      } catch (error) {
        if (error instanceof InvalidError) throw error
        if (absent.has(codeOf(error))) continue
        const closed = codeOf(error) === 'EACCES' && !(await isSearchable(directory))
        passOver(places, closed ? directory : file, readProblem(error))
        if (closed) break
      }
    }
  }
  return undefined
}

/** Says once that a file, or a folder that nobody may look into, is passed over. */
function passOver({ passedOver, logger }: ConfigPlaces, file: string, reason: string): void {
  const entry = `${file} (${reason})`
  if (passedOver.includes(entry)) return
  passedOver.push(entry)
  logger.warn('A configuration file is passed over: it could not be read', { file, reason })
}

async function isSearchable(directory: string): Promise<boolean> {
  try {
    await access(directory, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}

async function readMapping(file: string, logger: Logger, regular: boolean): Promise<ConfigFile> {
  const text = decode(file, await readBounded(file, maximumBytes, regular))
  try {
    const { value, warnings, lineOf } = await parseConfigYaml(text)
    for (const reason of warnings) logger.warn('A configuration file says something twice', { file, reason })
    if (value === null) logger.warn('A configuration file is empty', { file })
    else if (!isMapping(value))
      throw new InvalidError({ reason: 'line 1: it must be a mapping, with clouds: at its top' })
    return { file, content: value ?? {}, lineOf }
  } catch (error) {
    if (error instanceof InvalidError)
      throw new InvalidError({ reason: `The file ${file} is broken: ${error.reason}` })
    throw error
  }
}

function decode(file: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    const line = bytes.toString('utf8').split('\uFFFD', 1)[0]?.split('\n').length ?? 1
    throw new InvalidError({ reason: `The file ${file} is broken: line ${line}: it is not UTF-8` })
  }
}
