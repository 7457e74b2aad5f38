import { readFileSync } from 'node:fs'
import { ImageError } from '@disk-image/core'

/** One recorded call of the original, with its outcome. */
export interface Vector {
  readonly id: string
  readonly fn: string
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  readonly config: Readonly<Record<string, unknown>>
  readonly fake?: Readonly<Record<string, unknown>>
  readonly script?: readonly ScriptedAnswer[]
  readonly expect: {
    readonly returns?: unknown
    readonly throws?: string
    readonly message?: string
    readonly incidental?: boolean
    readonly file_kept?: boolean
    readonly commands?: readonly RecordedCommand[]
  }
}

/** How a command of the script ends. */
export interface ScriptedAnswer {
  readonly stdout?: string
  readonly stderr?: string
  readonly exit?: number
}

/** A command that the original ran. */
export interface RecordedCommand {
  readonly argv: readonly string[]
  readonly run_as_root: boolean
  readonly prlimit: { readonly cpu_time: number; readonly address_space: number } | null
}

/** The vectors of a file under `test/vectors`. */
export function readVectors(file: string): readonly Vector[] {
  return JSON.parse(readFileSync(new URL(`../vectors/${file}`, import.meta.url), 'utf8')) as Vector[]
}

/** Values that JSON can't hold, and the original's names of an answer's fields. */
export function decodeValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(decodeValue)
  if (typeof value !== 'object' || value === null) return value
  const record = value as Record<string, unknown>
  if ('$int' in record) return BigInt(record['$int'] as string)
  if ('$float' in record) return record['$float'] === 'inf' ? Infinity : Number.NaN
  if ('$bytes' in record) return Buffer.from(record['$bytes'] as string, 'base64')
  if ('$context' in record) return {}
  if ('$QemuImgInfo' in record) return decodeInfo(record['$QemuImgInfo'] as Record<string, unknown>)
  return Object.fromEntries(Object.entries(record).map(([key, entry]) => [key, decodeValue(entry)]))
}

function decodeInfo(info: Readonly<Record<string, unknown>>): unknown {
  return {
    image: info['image'] ?? undefined,
    fileFormat: info['file_format'] ?? undefined,
    virtualSize: info['virtual_size'] ?? undefined,
    diskSize: info['disk_size'] ?? undefined,
    backingFile: info['backing_file'] ?? undefined,
    backingFileFormat: info['backing_file_format'] ?? undefined,
    clusterSize: info['cluster_size'] ?? undefined,
    encrypted: info['encrypted'] === 'yes',
    snapshots: info['snapshots'] ?? [],
    formatSpecific: info['format_specific'] ?? undefined,
  }
}

/** Our name of an exception of the original. */
export function ourNameOf(exception: string): string {
  const names: Readonly<Record<string, string>> = {
    VolumeBackendAPIException: 'VolumeBackendError',
    ImageSignatureVerificationException: 'ImageSignatureVerificationError',
    // Ours says of the image what the original says of the tool that it ran.
    CinderAcceleratorError: 'ImageUnacceptableError',
    CinderException: 'ImageUnacceptableError',
  }
  return names[exception] ?? (exception.endsWith('Error') ? exception : `${exception}Error`)
}

/** What a call came to, in words that can be compared with {@link demanded}. */
export async function outcomeOf(vector: Vector, call: () => unknown): Promise<unknown> {
  try {
    const returned: unknown = await call()
    return { returns: returned === undefined ? null : returned }
  } catch (error) {
    // Where the original breaks down, one of our errors will do, or a TypeError for what no type allows.
    if (vector.expect.incidental === true) {
      return ImageError.is(error) || error instanceof TypeError ? 'some failure' : { foreign: error }
    }
    const { name, message } = error as Error
    return { throws: name, message }
  }
}

/** What a vector demands. The original's `Invalid` keeps its reason to itself, so only the class counts. */
export function demanded(vector: Vector): unknown {
  const { returns, throws, message, incidental } = vector.expect
  if (throws === undefined) return { returns: decodeValue(returns) }
  if (incidental === true) return 'some failure'
  return { throws: ourNameOf(throws), message: throws === 'Invalid' ? ANY_TEXT : message }
}

/** Equal to every text; `expect` compares with it. */
const ANY_TEXT: unknown = {
  asymmetricMatch: (other: unknown) => typeof other === 'string',
  toString: () => 'any text',
}
