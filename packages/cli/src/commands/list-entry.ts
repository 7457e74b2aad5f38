import type { TransferFlags } from './fetch-request.ts'
import { formatName, knownFormat, size, wholeNumber } from './values.ts'
import { UsageError } from '../usage-error.ts'

/** Flags of `fetch` that go with `--list`. */
export interface ListFlags {
  readonly list?: string
  readonly jobs?: number
  readonly jobsPerDevice?: number
  readonly byteBudget?: number
  readonly stopOnFailure?: boolean
}

/** What the command line says of every line of a list. */
export interface ListDefaults extends TransferFlags, ListFlags {
  readonly dryRun?: boolean
}

/** What one line of a list wants. */
export interface ListEntry {
  /** Of the list, from 1. */
  readonly line: number
  readonly imageId: string
  /** As it was given. */
  readonly volume: string
  /** What the line says of itself. */
  readonly flags: Partial<TransferFlags>
}

type Key = Exclude<keyof TransferFlags, symbol>

/** How the text of each option becomes its value, by the option's name. */
const options: ReadonlyMap<string, readonly [key: Key, parse: (text: string) => unknown]> = new Map([
  ['format', ['format', knownFormat('format', 'write')]],
  ['subformat', ['subformat', (text: string) => text]],
  ['size', ['size', size('size', { plain: 'G' })]],
  ['disable-sparse', ['disableSparse', yesOrNo('disable-sparse')]],
  ['verify-before-write', ['verifyBeforeWrite', yesOrNo('verify-before-write')]],
  ['no-sync', ['sync', (text: string) => !yesOrNo('no-sync')(text)]],
  ['connections', ['connections', wholeNumber('connections', 1)]],
  ['prefer-store', ['preferStore', (text: string) => text.split(',').filter((store) => store !== '')]],
  ['passphrase-file', ['passphraseFile', (text: string) => text]],
  ['cipher', ['cipher', (text: string) => text]],
  ['key-size', ['keySize', wholeNumber('key-size', 1)]],
  ['source-passphrase-file', ['sourcePassphraseFile', (text: string) => text]],
  ['decrypt', ['decrypt', yesOrNo('decrypt')]],
  ['as', ['as', formatName('as')]],
  // A URL may have commas, too.
  ['checksum', ['checksum', (text: string) => text.split(/,(?=[\w-]+:)/)]],
  ['limit-rate', ['limitRate', size('limit-rate', { plain: 'B' })]],
] as const)

/**
 * Reads one line: words, or a JSON object.
 *
 * @returns undefined for an empty line or a remark
 * @throws {UsageError} with what is wrong, in a sentence
 */
export function parseEntry(text: string, line: number): ListEntry | undefined {
  const trimmed = text.trim()
  if (trimmed === '' || trimmed.startsWith('#')) return undefined
  return trimmed.startsWith('{') ? parseObject(trimmed, line) : parseWords(trimmed, line)
}

function parseWords(text: string, line: number): ListEntry {
  const all = text.split(/[ \t]+/)
  const remark = all.findIndex((word) => word.startsWith('#'))
  const [imageId = '', destination, ...pairs] = remark === -1 ? all : all.slice(0, remark)
  if (destination === undefined) throw new UsageError('A destination is missing: IMAGE DEST [KEY=VALUE …].')
  const values = pairs.map((pair): readonly [string, string] => {
    const at = pair.indexOf('=')
    if (at < 1) {
      throw new UsageError(
        `${JSON.stringify(pair)} is not KEY=VALUE. A line with blanks in a name is written as a JSON object.`,
      )
    }
    return [pair.slice(0, at), pair.slice(at + 1)]
  })
  return makeEntry(line, imageId, destination, values)
}

function parseObject(text: string, line: number): ListEntry {
  const parsed = parseJson(text)
  const { image, volume, ...rest } = parsed
  if (typeof image !== 'string') throw new UsageError('"image" must be a string.')
  if (typeof volume !== 'string') throw new UsageError('"volume" must be a string.')
  const values = Object.entries(rest).map(([key, value]): readonly [string, string] => {
    if (!['string', 'number', 'boolean'].includes(typeof value)) {
      throw new UsageError(`${JSON.stringify(key)} must be a string, a number, true or false.`)
    }
    return [key, String(value)]
  })
  return makeEntry(line, image, volume, values)
}

function parseJson(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    throw new UsageError('It begins like a JSON object, and is none.')
  }
}

function makeEntry(
  line: number,
  imageId: string,
  volume: string,
  values: readonly (readonly [key: string, value: string])[],
): ListEntry {
  for (const [what, text] of [
    ['The image', imageId],
    ['The destination', volume],
  ] as const) {
    if (text === '') throw new UsageError(`${what} is empty.`)
    if (text.includes('\0')) throw new UsageError(`${what} has a NUL character.`)
  }
  const flags: [string, unknown][] = []
  for (const [key, value] of values) {
    const option = options.get(key)
    if (option === undefined) {
      throw new UsageError(
        `There is no key ${JSON.stringify(key)}; there are: ${[...options.keys()].join(', ')}.`,
      )
    }
    if (flags.some(([name]) => name === option[0])) throw new UsageError(`The key ${key} is given twice.`)
    flags.push([option[0], option[1](value)])
  }
  return { line, imageId, volume, flags: Object.fromEntries(flags) as Partial<TransferFlags> }
}

function yesOrNo(name: string): (text: string) => boolean {
  return (text) => {
    if (text !== 'true' && text !== 'false') {
      throw new UsageError(`${name} must be true or false; it is ${JSON.stringify(text)}.`)
    }
    return text === 'true'
  }
}
