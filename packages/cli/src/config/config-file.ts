import { closeSync, fstatSync, openSync, readFileSync, type Stats } from 'node:fs'
import path from 'node:path'
import type { Command, Option } from 'commander'
import type * as Yaml from 'yaml'
import type { LineCounter, Node, YAMLMap } from 'yaml'
import type { Io } from '../io.ts'
import { UsageError } from '../usage-error.ts'
import { nearest } from './nearest.ts'
import { allSettings, type ConfigFile, type FileValue, isRepeated } from './settings.ts'

/** Nobody writes more by hand. */
const largestBytes = 256 * 1024

/**
 * Where the file is, whether it is there or not: `DISK_IMAGE_CONFIG`, or `disk-image/config.yaml` in the user's folder
 * of settings.
 *
 * @returns undefined where there shall be none
 * @see https://specifications.freedesktop.org/basedir-spec/latest/
 */
export function configPath({
  environment,
  workingDirectory,
}: Pick<Io, 'environment' | 'workingDirectory'>): string | undefined {
  const { DISK_IMAGE_CONFIG: named, XDG_CONFIG_HOME: config = '', HOME: home = '' } = environment
  if (named !== undefined) return named === '' ? undefined : path.resolve(workingDirectory, named)
  const base = path.isAbsolute(config) ? config : path.join(home, '.config')
  return path.isAbsolute(base) ? path.join(base, 'disk-image/config.yaml') : undefined
}

/**
 * Reads the file.
 *
 * @returns undefined where there is none
 * @throws {UsageError} where somebody else may write it, which could choose what is run
 */
export function readConfigText(io: Pick<Io, 'environment' | 'workingDirectory'>): string | undefined {
  const file = configPath(io)
  if (file === undefined) return undefined
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const isAbsent = code === 'ENOENT' || code === 'ENOTDIR'
    if (isAbsent && io.environment['DISK_IMAGE_CONFIG'] === undefined) return undefined
    throw new UsageError(
      isAbsent
        ? `There is no file ${file}, which DISK_IMAGE_CONFIG names.`
        : `${file} can't be read: ${(error as Error).message}.`,
    )
  }
  try {
    const fault = faultOf(fstatSync(descriptor))
    if (fault !== undefined) throw new UsageError(`${file} ${fault}`)
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

function faultOf(found: Stats): string | undefined {
  if (!found.isFile()) return 'is no regular file.'
  if (found.size > largestBytes) return `is larger than ${largestBytes / 1024} KiB.`
  const user = process.geteuid?.()
  if (user === undefined) return undefined
  const run = 'and could choose what is run'
  if (found.uid !== user && found.uid !== 0) {
    return `belongs to another user, ${run}. Set DISK_IMAGE_CONFIG to a file of your own, or to nothing.`
  }
  return (found.mode & 0o022) === 0 ? undefined : `can be written by others, ${run}. Use: chmod go-w FILE`
}

/**
 * What a text of settings says.
 *
 * @param program with all commands
 * @param home what `~` stands for
 * @throws {UsageError} with the line, for what is no YAML, and for a key that no option has
 */
export async function parseConfig(
  text: string,
  file: string,
  program: Command,
  home: string = '',
): Promise<ConfigFile> {
  const yaml = await import('yaml')
  const lineCounter = new yaml.LineCounter()
  const document = yaml.parseDocument(text, { lineCounter })
  const [error] = [...document.errors, ...document.warnings]
  if (error !== undefined) {
    const [what = ''] = error.message.split(' at line ')
    throw new UsageError(`${file}:${error.linePos?.[0].line ?? 1}: ${what.replace(/\.?$/, '.')}`)
  }
  const { contents } = document
  const reader = new Reader(yaml, file, lineCounter, home)
  // A file of remarks says nothing.
  const isEmpty = contents === null || (yaml.isScalar(contents) && contents.value === null)
  if (!isEmpty) {
    if (!yaml.isMap(contents)) throw new UsageError(`${file}:1: it must be KEY: VALUE on each line.`)
    reader.section(contents, program, [])
  }
  return { path: file, values: reader.values }
}

class Reader {
  readonly values = new Map<string, FileValue>()
  readonly #yaml: typeof Yaml
  readonly #file: string
  readonly #lines: LineCounter
  readonly #home: string

  constructor(yaml: typeof Yaml, file: string, lines: LineCounter, home: string) {
    this.#yaml = yaml
    this.#file = file
    this.#lines = lines
    this.#home = home
  }

  section(map: YAMLMap, command: Command, at: readonly string[]): void {
    // What stands in a group is for each of its commands that has it.
    const settings = allSettings(command)
    for (const pair of map.items) {
      const node = pair.key as Node
      const key = this.#text(node)
      const below = command.commands.find((one) => one.name() === key)
      if (below !== undefined && this.#yaml.isMap(pair.value)) {
        this.section(pair.value, below, [...at, key])
        continue
      }
      const setting = settings.find((one) => one.key === key)
      if (setting === undefined) {
        const known = [...settings.map((one) => one.key), ...command.commands.map((one) => one.name())]
        const other = nearest(key, known)
        const hint = other === undefined ? 'See: disk-image config show --all' : `Did you mean ${other}?`
        throw this.#fail(node, `There is no key ${JSON.stringify(key)}. ${hint}`)
      }
      const texts = this.#texts(node, pair.value as Node | null, setting.option)
      const isPath = /<(?:dir|file)>/.test(setting.option.flags)
      this.values.set([...at, key].join('.'), {
        texts: isPath ? texts.map((text) => this.#path(text)) : texts,
        line: this.#line(node),
      })
    }
  }

  /** The values of one key: several as a list, those with a name of their own as a map. */
  #texts(key: Node, node: Node | null, option: Option): string[] {
    const { isMap, isSeq } = this.#yaml
    if (node === null) throw this.#fail(key, 'A value is missing.')
    if (isRepeated(option) && isSeq(node)) return node.items.map((item) => this.#text(item as Node))
    if (isRepeated(option) && isMap(node)) {
      return node.items.map((item) => `${this.#text(item.key as Node)}=${this.#text(item.value as Node)}`)
    }
    return [this.#text(node)]
  }

  /** As it was written: `010` and `1.50` keep their zeros. */
  #text(node: Node | null): string {
    const { isScalar } = this.#yaml
    if (!isScalar(node) || node.value === null || node.anchor !== undefined) {
      throw this.#fail(node, 'A value is a word, a number, true or false here.')
    }
    return typeof node.value === 'string' ? node.value : (node.source ?? '')
  }

  /** From the file's own folder, so that it means the same wherever the command is run. */
  #path(text: string): string {
    if (text === '-' || text === '') return text
    if (text.startsWith('~/') && this.#home !== '') return path.join(this.#home, text.slice(2))
    return path.resolve(path.dirname(this.#file), text)
  }

  #line(node: Node | null): number {
    return this.#lines.linePos(node?.range?.[0] ?? 0).line
  }

  #fail(node: Node | null, what: string): UsageError {
    return new UsageError(`${this.#file}:${this.#line(node)}: ${what}`)
  }
}
