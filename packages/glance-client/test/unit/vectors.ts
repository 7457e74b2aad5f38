import { readFileSync } from 'node:fs'

/** One recorded call of the original. */
export interface Vector {
  readonly id: string
  readonly fn: string
  readonly args: readonly unknown[]
  readonly config: Readonly<Record<string, unknown>>
  readonly fake: Readonly<Record<string, unknown>>
  readonly expect: {
    readonly returns?: unknown
    readonly throws?: string
    readonly message?: string
    readonly incidental?: boolean
    readonly client_calls?: readonly { readonly method: string; readonly kwargs: Record<string, unknown> }[]
    readonly calls?: readonly unknown[]
    readonly clients?: readonly (readonly [string, boolean, boolean])[]
  }
}

interface VectorFile {
  readonly schemas: Readonly<Record<string, unknown>>
  readonly vectors: readonly (Omit<Vector, 'fake'> & { readonly fake?: Vector['fake'] })[]
}

const file = JSON.parse(
  readFileSync(new URL('../vectors/image-service.json', import.meta.url), 'utf8'),
) as VectorFile

/** The vectors of a function, with what JSON cannot hold put in place. */
export function vectorsOf(name: string): Vector[] {
  const found = file.vectors.filter((vector) => vector.fn === name)
  if (found.length === 0) throw new Error(`There are no vectors of ${name}`)
  return found.map((vector) => ({ ...revive(vector as Vector), fake: revive(vector.fake ?? {}) }))
}

/** The image schema that a vector names or has. */
export function schemaOf(vector: Vector): Record<string, unknown> {
  const schema = vector.fake['image_schema'] ?? 'SCHEMA_FULL'
  return (typeof schema === 'string' ? file.schemas[schema] : schema) as Record<string, unknown>
}

function revive<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item: unknown) => revive(item)) as T
  const { $int, $datetime, $bytes, ...rest } = value as Record<string, unknown>
  if (typeof $int === 'string') return BigInt($int) as T
  if (typeof $datetime === 'string') return new Date($datetime) as T
  if (typeof $bytes === 'string') return Buffer.from($bytes, 'base64') as T
  return Object.fromEntries(Object.entries(rest).map(([name, item]) => [name, revive(item)])) as T
}
