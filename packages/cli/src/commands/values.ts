import {
  type DiskFormat,
  formatNames,
  parseDiskFormat,
  toGlanceFormat,
  type WritableDiskFormat,
} from '@disk-image/core'
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

/** What a size is counted in. Units of 1024, as with qemu-img: 10G, 10GB and 10GiB are the same. */
const unitBytes: Readonly<Record<SizeUnit, number>> = {
  B: 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
  P: 1024 ** 5,
}

/** A unit of sizes, by its letter. */
export type SizeUnit = 'B' | 'K' | 'M' | 'G' | 'T' | 'P'

interface SizeRules {
  /** What a number without a unit is counted in. */
  readonly plain: SizeUnit
  /** What the size is counted in. @default that of a number without a unit */
  readonly as?: SizeUnit
  /** Whether it must be a whole number of these. @default false */
  readonly whole?: boolean
  /** @default false */
  readonly zero?: boolean
}

/**
 * Parses an option's value as a size: `512M`, `10GiB`, `1.5T`, `1048576B`, or a number alone. The one parser of sizes.
 *
 * @returns how many of the unit `as`
 */
export function size(name: string, rules: SizeRules): (text: string) => number {
  const { plain, as = plain, whole = false, zero = false } = rules
  const refuse = (what: string, text: string): never => {
    throw new UsageError(`${name} must be ${what}; it is ${JSON.stringify(text)}.`)
  }
  return (text) => {
    const example = `a size such as 512M or 10G, ${unitWords[plain]} where it has no unit`
    const [, digits, suffix = ''] = /^(\d{1,16}(?:\.\d{1,15})?)([KMGTP](?:i?B)?|B)?$/i.exec(text) ?? []
    if (digits === undefined) return refuse(example, text)
    const unit = suffix === '' ? plain : (suffix.charAt(0).toUpperCase() as SizeUnit)
    const bytes = Number(digits) * unitBytes[unit]
    if (bytes > Number.MAX_SAFE_INTEGER) return refuse('smaller than 8 PiB', text)
    if (bytes < 1 && !(zero && bytes === 0)) return refuse(`${example}, above 0`, text)
    const value = (as === 'B' || unit !== as ? Math.floor(bytes) : bytes) / unitBytes[as]
    return whole && !Number.isInteger(value) ? refuse(`a whole number of ${unitWords[as]}`, text) : value
  }
}

const unitWords: Readonly<Record<SizeUnit, string>> = {
  B: 'bytes',
  K: 'KiB',
  M: 'MiB',
  G: 'GiB',
  T: 'TiB',
  P: 'PiB',
}

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Parses an option's value as a time, for example `30`, `30s`, `500ms` or `2m`. @returns milliseconds */
export function duration(name: string): (text: string) => number {
  return (text) => {
    const [, digits = '', unit = 's'] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)?$/.exec(text) ?? []
    const ms = digits === '' ? 0 : Number(digits) * (durationUnits[unit] ?? 0)
    if (!(ms >= 1 && ms <= mostMs)) {
      throw new UsageError(
        `${name} must be a time such as 30s or 2m, seconds where it has no unit; it is ${JSON.stringify(text)}.`,
      )
    }
    return ms
  }
}

/** A timer waits no longer, and one of them waits for two and a half times as long. */
const mostMs = 2 ** 31 / 4

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
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/.test(text)) {
      throw new UsageError(
        `${name} must be the name of a format such as raw or qcow2; it is ${JSON.stringify(text)}.`,
      )
    }
    return text.toLowerCase()
  }
}

/**
 * What the inspector calls what is no disk image. As the format of a source these names are taken and then refused
 * with the reason, as whatever holds one of them is.
 */
const notDisks: ReadonlySet<string> = new Set([
  'gzip',
  'xz',
  'zstd',
  'bzip2',
  'lz4',
  'tar',
  'ova',
  'zip',
  '7z',
  'lzma',
  'lzip',
  'compress',
  'rar',
  'wim',
  'vma',
  'android-sparse',
])

const pastOf = { read: 'read', write: 'written', upload: 'uploaded' } as const

/**
 * Any name of a format that can be read, written, or uploaded: a wrong one is told before anything is begun. For an
 * image's record it becomes Glance's name.
 */
export function knownFormat(name: string, use: 'read'): (text: string) => DiskFormat
export function knownFormat(name: string, use: 'write' | 'upload'): (text: string) => WritableDiskFormat
export function knownFormat(name: string, use: 'read' | 'write' | 'upload'): (text: string) => DiskFormat {
  return (text) => {
    const format = formatName(name)(text)
    // It is refused where it is opened.
    if (use === 'read' && notDisks.has(format)) return format as DiskFormat
    try {
      const known = use === 'read' ? parseDiskFormat(format, 'read') : parseDiskFormat(format, 'write')
      return use === 'upload' ? (toGlanceFormat(known) as DiskFormat) : known
    } catch {
      const names = use === 'read' ? formatNames('read') : formatNames('write')
      throw new UsageError(
        `${name} is ${text}, which is no format that can be ${pastOf[use]}; there are: ${names.join(', ')}.`,
      )
    }
  }
}

/** A record's `disk_format`: any name of a format as Glance's. What only that Glance knows is passed on. */
export function diskFormat(name: string): (text: string) => string {
  return (text) => toGlanceFormat(formatName(name)(text))
}

/** Operands whose number commander has checked already. */
export function operand(operands: readonly string[], index: number): string {
  const value = operands[index]
  if (value === undefined) throw new UsageError('An argument is missing.')
  return value
}
