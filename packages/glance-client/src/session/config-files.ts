import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import type { Logger } from '@disk-image/core'

/** A mapping as it stands in a file. */
export type Mapping = Readonly<Record<string, unknown>>

/** The environment, as a parameter. */
export type Environment = Readonly<Record<string, string | undefined>>

/** No configuration is longer. */
const maximumBytes = 4 * 1024 * 1024

/** Where configuration files are looked for, first to last. */
export function configDirectories(environment: Environment, workingDirectory: string): string[] {
  const home = environment['SNAP_REAL_HOME'] ?? environment['HOME']
  const user = environment['XDG_CONFIG_HOME'] ?? (home === undefined ? undefined : path.join(home, '.config'))
  const system = (environment['XDG_CONFIG_DIRS'] ?? '/etc/xdg').split(':').filter((name) => name !== '')
  return [
    workingDirectory,
    ...(user === undefined ? [] : [path.join(user, 'openstack')]),
    ...system.map((directory) => path.join(directory, 'openstack')),
    '/etc/openstack',
  ]
}

/**
 * The first file of that name that can be read, as a mapping; an empty one where there is none.
 *
 * @param explicit a file that goes before all others; it must be there
 * @throws {InvalidError} where the explicit file is missing or broken; a broken file in a folder is passed over
 */
export async function readConfigFile(
  name: 'clouds' | 'secure' | 'clouds-public',
  explicit: string | undefined,
  directories: readonly string[],
  logger: Logger,
): Promise<Mapping> {
  if (explicit !== undefined && explicit !== '') {
    try {
      return await readMapping(explicit)
    } catch (error) {
      throw new InvalidError({ reason: `The file ${explicit} could not be read: ${plainReason(error)}` })
    }
  }
  for (const directory of directories) {
    for (const extension of ['yaml', 'yml', 'json']) {
      const file = path.join(directory, `${name}.${extension}`)
      try {
        return await readMapping(file)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
        logger.warn('A configuration file could not be read', { file, reason: plainReason(error) })
      }
    }
  }
  return {}
}

async function readMapping(file: string): Promise<Mapping> {
  const text = await readFile(file, 'utf8')
  if (text.length > maximumBytes) throw new InvalidError({ reason: 'it is too long' })
  const { parse } = await import('yaml')
  return toMapping(parse(text, { maxAliasCount: 100, prettyErrors: false }))
}

/** The value if it is a mapping, otherwise an empty one. */
export function toMapping(value: unknown): Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Mapping) : {}
}

/** Without the file's text, which may be a secret. */
function plainReason(error: unknown): string {
  if (error instanceof InvalidError) return error.reason
  const { code, linePos } = error as { code?: string; linePos?: readonly { line: number }[] }
  const line = linePos?.[0]?.line
  return `${code ?? 'it is broken'}${line === undefined ? '' : ` in line ${line}`}`
}
