import type { EventEmitter } from 'node:events'
import type { Command, Option } from 'commander'
import { collect, collectProperty } from '../commands/values.ts'
import { UsageError } from '../usage-error.ts'

/** One option of one command, and what else sets it. */
export interface Setting {
  readonly command: Command
  readonly option: Option
  /** The words of the command, none for the options of all commands. */
  readonly path: readonly string[]
  /** The option without its dashes: its key in the file. */
  readonly key: string
}

/** The value of one key, as it was written. */
export interface FileValue {
  readonly texts: readonly string[]
  /** From 1. */
  readonly line: number
}

/** What a file sets. */
export interface ConfigFile {
  readonly path: string
  /** By the command's words and the option, with points between them: `fetch.size`. */
  readonly values: ReadonlyMap<string, FileValue>
}

/** What sets options beside the command line. */
export interface Sources {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly file: ConfigFile | undefined
}

/** A value that an option has, and where it comes from. */
export interface Origin {
  readonly source: 'environment' | 'file'
  readonly texts: readonly string[]
  /** For a person: the variable, or the file and its line. */
  readonly from: string
}

const prefix = 'DISK_IMAGE_'
/** As YAML and the shells have it. */
const yes = new Set(['true', 'yes', 'on', '1'])
const no = new Set(['false', 'no', 'off', '0'])

/** The words that lead to a command, without the program's own. */
export function pathOf(command: Command): string[] {
  return command.parent === null ? [] : [...pathOf(command.parent), command.name()]
}

/** What can be set of a command; `--help` and `--version` can't, and `--no-sandbox` is `sandbox: off`. */
export function settingsOf(command: Command): Setting[] {
  const path = pathOf(command)
  return command.options.flatMap((option) => {
    const key = (option.long ?? '').replace(/^--/, '')
    const isTwice = option.negate && command.options.some(({ long }) => long === `--${key.slice(3)}`)
    return key === 'version' || isTwice ? [] : [{ command, option, path, key }]
  })
}

/** The same of a command and of all below it. */
export function allSettings(command: Command): Setting[] {
  return [...settingsOf(command), ...command.commands.flatMap((below) => allSettings(below))]
}

/** The places of an option's value, the nearest first: its own command's, then those of the groups above. */
function scopes({ path }: Setting): readonly (readonly string[])[] {
  return path.map((_, index) => path.slice(0, path.length - index)).concat([[]])
}

/** The variables that set an option: `DISK_IMAGE_FETCH_SIZE`, then `DISK_IMAGE_SIZE`. */
export function variablesOf(setting: Setting): string[] {
  return scopes(setting).map(
    (scope) => prefix + [...scope, setting.key].join('_').replaceAll('-', '_').toUpperCase(),
  )
}

/** Where an option's value comes from, unless the command line has it. */
export function originOf(setting: Setting, { environment, file }: Sources): Origin | undefined {
  const variable = variablesOf(setting).find((name) => (environment[name] ?? '') !== '')
  if (variable !== undefined) {
    const text = environment[variable] ?? ''
    const texts = isRepeated(setting.option) ? text.split(',').filter((part) => part !== '') : [text]
    return { source: 'environment', texts, from: variable }
  }
  const found = scopes(setting)
    .map((scope) => file?.values.get([...scope, setting.key].join('.')))
    .find((value): value is FileValue => value !== undefined)
  return found && { source: 'file', texts: found.texts, from: `${file?.path}:${found.line}` }
}

/** Whether an option may be given several times. */
export function isRepeated({ parseArg }: Option): boolean {
  return parseArg === (collect as unknown) || parseArg === (collectProperty as unknown)
}

/** Whether an option is on or off. */
export function isSwitch(option: Option): boolean {
  return !option.required && !option.optional
}

/** Sets a command's options from where the command line says nothing. */
export function applySettings(command: Command, sources: Sources): void {
  for (const setting of settingsOf(command)) {
    const origin = originOf(setting, sources)
    if (origin === undefined) continue
    const { option } = setting
    const name = option.attributeName()
    const source = origin.source === 'file' ? 'config' : 'env'
    command.setOptionValueWithSource(name, valueOf(setting, origin), source)
    // What was set before is no beginning of what the command line lists.
    if (isRepeated(option)) {
      const events = command as unknown as EventEmitter
      events.prependOnceListener(`option:${option.name()}`, () => command.setOptionValue(name, undefined))
    }
  }
}

/** @throws {UsageError} with the place of the value, where it is wrong */
export function valueOf(setting: Setting, { texts, from, source }: Origin): unknown {
  const { option, key } = setting
  const fail = (what: string): never => {
    throw new UsageError(`${from}: ${what}`)
  }
  if (texts.length !== 1 && !isRepeated(option)) return fail(`${key} has one value, not ${texts.length}.`)
  if (source === 'file' && texts.some(hasPassword)) {
    return fail(
      `${key} has a password in it, which does not belong into this file. Set ${variablesOf(setting)[0]} instead.`,
    )
  }
  if (isSwitch(option)) {
    const [text = ''] = texts
    const isOn = yes.has(text.toLowerCase())
    if (!isOn && !no.has(text.toLowerCase())) {
      return fail(`${key} must be true or false; it is ${JSON.stringify(text)}.`)
    }
    return isOn !== option.negate
  }
  try {
    return texts.reduce<unknown>(
      (before, text) => (option.parseArg === undefined ? text : option.parseArg(text, before as never)),
      undefined,
    )
  } catch (error) {
    return fail((error as Error).message)
  }
}

/** Whether a text is an address with a password in it. */
export function hasPassword(text: string): boolean {
  return /^[a-z][a-z\d+.-]*:\/\/[^/?#]*:[^/?#]+@/i.test(text)
}

/** A value as it may be shown. */
export function maskPassword(text: string): string {
  return text.replaceAll(/([a-z][a-z\d+.-]*:\/\/[^/?#\s]*?:)[^/?#\s]+@/gi, '$1***@')
}

/** @throws {UsageError} where a password was typed: every user of this machine can read a command line */
export function refuseSecrets(command: Command): void {
  for (let at: Command | null = command; at !== null; at = at.parent) {
    for (const setting of settingsOf(at)) {
      const name = setting.option.attributeName()
      if (at.getOptionValueSource(name) !== 'cli') continue
      const value: unknown = at.getOptionValue(name)
      if (![value].flat().some((text) => typeof text === 'string' && hasPassword(text))) continue
      throw new UsageError(
        `--${setting.key} has a password in it, which every user of this machine can read. Set ${variablesOf(setting)[0]} instead.`,
      )
    }
  }
}
