import type { Command } from 'commander'
import { toQemuFormat } from '@disk-image/core'
import type { FormatOptions } from '@disk-image/image-utils'
import { UsageError } from '../usage-error.ts'
import { collect, size, wholeNumber } from './values.ts'

type Parse = (name: string) => (text: string) => string | number

const bytes: Parse = (name) => size(name, { plain: 'B', whole: true })
const number: Parse = (name) => wholeNumber(name)
const uuid: Parse = () => (text) => text

function oneOf(...words: readonly string[]): Parse {
  return (name) => (text) => {
    if (words.includes(text)) return text
    throw new UsageError(`${name} must be one of ${words.join(', ')}; it is ${JSON.stringify(text)}.`)
  }
}

/** By format and name: the facade's name of it, and how its value is read. */
const known: Readonly<Record<string, Readonly<Record<string, readonly [field: string, parse: Parse]>>>> = {
  qcow2: { version: ['version', number], 'cluster-size': ['clusterSizeBytes', bytes] },
  vmdk: {
    adapter: ['adapterType', oneOf('ide', 'buslogic', 'lsilogic', 'pvscsi')],
    'hardware-version': ['hardwareVersion', number],
    'tools-version': ['toolsVersion', number],
    'content-id': ['contentId', number],
  },
  vpc: {
    style: ['style', oneOf('xenserver', 'windows')],
    uuid: ['uniqueId', uuid],
    align: ['alignBytes', bytes],
  },
  vhdx: {
    'block-size': ['blockBytes', bytes],
    'logical-sector-size': ['logicalSectorBytes', bytes],
    'physical-sector-size': ['physicalSectorBytes', bytes],
    uuid: ['uniqueId', uuid],
  },
  vdi: { uuid: ['uniqueId', uuid] },
}

/** Adds `--option`. */
export function withFormatOptions(command: Command): Command {
  return command.option(
    '--option <key=value>',
    'an option of the format that is written, such as cluster-size=128K of qcow2 or adapter=pvscsi of vmdk; may be repeated',
    collect,
  )
}

/**
 * Options of a format as the facade takes them.
 *
 * @throws {UsageError} for one that the format has not, with those that it has
 */
export function readFormatOptions(
  format: string,
  given: readonly string[] | undefined,
): FormatOptions | undefined {
  if (given === undefined || given.length === 0) return undefined
  const name = toQemuFormat(format)
  const options = Object.hasOwn(known, name) ? (known[name] ?? {}) : {}
  const own: Record<string, string | number> = {}
  let compressionLevel: number | undefined
  for (const one of given) {
    const [, key = '', value = ''] = /^([a-z-]+)=(.+)$/.exec(one) ?? []
    const compresses = name === 'qcow2' || name === 'vmdk'
    if (key === 'level' && compresses) {
      compressionLevel = wholeNumber('--option level', 1)(value)
      continue
    }
    const [field, parse] = (Object.hasOwn(options, key) ? options[key] : undefined) ?? []
    if (field === undefined || parse === undefined) {
      const names = [...Object.keys(options), ...(compresses ? ['level'] : [])]
      const there = names.length === 0 ? 'it has none' : `there are: ${names.join(', ')}`
      throw new UsageError(`--option ${JSON.stringify(one)} is none of the format ${format}; ${there}.`)
    }
    own[field] = parse(`--option ${key}`)(value)
  }
  return { compressionLevel, [name]: own }
}
