import { UsageError } from '../usage-error.ts'

/** Parses an option's value as a whole number of at least `minimum`. */
export function wholeNumber(name: string, minimum: number = 0): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= minimum)) {
      throw new UsageError(
        `${name} must be a whole number, ${minimum} or more; it is ${JSON.stringify(text)}.`,
      )
    }
    return value
  }
}

/** Parses an option's value as a number above 0. */
export function positiveNumber(name: string): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : Number.NaN
    if (!(value > 0)) {
      throw new UsageError(`${name} must be a number above 0; it is ${JSON.stringify(text)}.`)
    }
    return value
  }
}

const sizeUnits = ['', 'K', 'M', 'G', 'T'] as const

/** Parses an option's value as bytes: `512M`, `20G`, `1.5TiB`, `1048576`. */
export function byteSize(name: string): (text: string) => number {
  return (text) => {
    const [, digits = '', unit = ''] = /^(\d{1,15}(?:\.\d{1,6})?)([KMGT]?)(?:i?B)?$/i.exec(text) ?? []
    const power = sizeUnits.indexOf(unit.toUpperCase() as (typeof sizeUnits)[number])
    const value = digits === '' ? Number.NaN : Math.floor(Number(digits) * 1024 ** power)
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new UsageError(
        `${name} must be a size such as 512M or 20G, 1 byte or more; it is ${JSON.stringify(text)}.`,
      )
    }
    return value
  }
}

/** Collects `--property KEY=VALUE`, given as often as one likes. The last of a key counts. */
export function collectProperty(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new UsageError(`--property must be KEY=VALUE; it is ${JSON.stringify(text)}.`)
  // fromEntries makes own fields of any name, __proto__ too.
  return Object.fromEntries([...Object.entries(before), [text.slice(0, at), text.slice(at + 1)]])
}

/** Collects an option that may be given several times. */
export function collect(text: string, before: readonly string[] = []): string[] {
  return [...before, text]
}

/** The name of a format. What exists is for the tools to say; what could be another option or a path is refused. */
export function formatName(name: string): (text: string) => string {
  return (text) => {
    if (!/^[A-Za-z0-9][A-Za-z0-9_]{0,31}$/.test(text)) {
      throw new UsageError(
        `${name} must be the name of a format such as raw or qcow2; it is ${JSON.stringify(text)}.`,
      )
    }
    return text.toLowerCase()
  }
}

/** Formats that a tool writes, by Glance's names and qemu-img's. */
const writtenFormats = [
  'raw',
  'qcow2',
  'vhd',
  'vpc',
  'vhdx',
  'vmdk',
  'vdi',
  'luks',
  'parallels',
  'ploop',
  'qcow',
  'qed',
]
/** Formats that a tool reads. */
const readFormats = [...writtenFormats, 'iso', 'bochs', 'cloop', 'dmg']
/** Formats that an image made of a volume may have: an ISO is raw bytes under another name. */
const imageFormats = [...writtenFormats, 'iso']

/** The name of a format that can be read, written, or uploaded: a wrong one is told before anything is begun. */
export function knownFormat(name: string, use: 'read' | 'write' | 'upload'): (text: string) => string {
  const known = { read: readFormats, write: writtenFormats, upload: imageFormats }[use]
  return (text) => {
    const format = formatName(name)(text)
    if (known.includes(format)) return format
    throw new UsageError(
      `${name} is ${text}, which is no format that can be ${pastOf[use]}; there are: ${known.join(', ')}.`,
    )
  }
}

const pastOf = { read: 'read', write: 'written', upload: 'uploaded' } as const

/** Operands whose number commander has checked already. */
export function operand(operands: readonly string[], index: number): string {
  const value = operands[index]
  if (value === undefined) throw new UsageError('An argument is missing.')
  return value
}
