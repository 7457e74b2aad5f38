import { InvalidError } from '@disk-image/core'
import type { ImageMetadata, ImagePropertyValue, ImageRecord } from '@disk-image/core'
import { unlessAborted } from '@disk-image/io'
import type { GlanceCallOptions, GlanceClient } from '../client/client-types.ts'

/** Glance's schema of an image, as far as it tells base fields from properties. */
export interface ImageSchema {
  readonly properties?:
    | Readonly<
        Record<
          string,
          { readonly is_base?: boolean | undefined; readonly enum?: readonly unknown[] | undefined }
        >
      >
    | undefined
}

/** Properties that hold JSON. */
const jsonProperties: ReadonlySet<string> = new Set(['block_device_mapping', 'mappings'])
const timestamps = ['created_at', 'updated_at', 'deleted_at'] as const

/**
 * A record as the image service's port has it: base fields on top, everything else in `properties`, timestamps as
 * dates, `block_device_mapping` and `mappings` parsed.
 *
 * @throws {InvalidError} where a timestamp or such JSON is malformed
 * @see cinder.image.glance.GlanceImageService._translate_from_glance
 */
export function translateFromGlance(
  image: Readonly<Record<string, unknown>>,
  schema: ImageSchema,
): ImageRecord {
  const record: Record<string, unknown> = {}
  const properties: Record<string, ImagePropertyValue> = {}
  for (const [name, value] of Object.entries(image)) {
    if (isBaseField(schema, name)) {
      if (name !== 'schema') define(record, name, value)
    } else {
      define(properties, name, parseJsonProperty(name, value))
    }
    if (name === 'cinder_encryption_key_id') record[name] = value
  }
  for (const name of timestamps) {
    const value = record[name]
    if (value !== undefined && value !== null && value !== '') record[name] = parseTimestamp(name, value)
  }
  define(record, 'properties', properties)
  return record as unknown as ImageRecord
}

function isBaseField(schema: ImageSchema, name: string): boolean {
  const fields = schema.properties ?? {}
  return Object.hasOwn(fields, name) && fields[name]?.is_base !== false
}

/** Sets a property also where its name is `__proto__`. */
function define(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, enumerable: true, writable: true, configurable: true })
}

function parseJsonProperty(name: string, value: unknown): ImagePropertyValue {
  if (typeof value !== 'string' || !jsonProperties.has(name)) {
    return value as ImagePropertyValue
  }
  try {
    return JSON.parse(value) as ImagePropertyValue
  } catch (error) {
    throw new InvalidError({ reason: `The image's property ${name} is not JSON`, cause: error })
  }
}

function parseTimestamp(name: string, value: unknown): Date {
  const text = typeof value === 'string' ? value.trim() : ''
  const match =
    /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?) ?(Z|[+-]\d{2}:?\d{2}|[+-]\d{2})?$/.exec(
      text,
    )
  const zone = match?.[3] ?? 'Z'
  const offset = /^[+-]\d{2}$/.test(zone) ? `${zone}:00` : zone.replace(/^([+-]\d{2})(\d{2})$/, '$1:$2')
  const date = new Date(match === null ? Number.NaN : `${match[1]}T${match[2]?.replace(',', '.')}${offset}`)
  if (Number.isNaN(date.getTime())) {
    throw new InvalidError({
      reason: `The image's ${name} is no time: ${JSON.stringify(value)?.slice(0, 60)}`,
    })
  }
  return date
}

/** Fields that the service sets itself. */
const readOnly: ReadonlySet<string> = new Set(['status', 'created_at', 'updated_at', 'deleted_at'])

/**
 * The flat fields that Glance takes: properties beside base fields, lists as JSON, nothing that only the service sets.
 *
 * @see cinder.image.glance.GlanceImageService._translate_to_glance
 */
export function translateToGlance(metadata: ImageMetadata): Record<string, unknown> {
  const fields: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(metadata)) {
    if (!readOnly.has(name) && value !== undefined) fields[name] = value
  }
  delete fields['properties']
  for (const [name, value] of Object.entries(metadata.properties ?? {})) {
    if (name === 'properties' || value === undefined) continue
    fields[name] = jsonProperties.has(name) && typeof value !== 'string' ? pythonJson(value) : value
  }
  return fields
}

/**
 * JSON in the spelling of Python's `json.dumps`: a blank after commas and colons, ASCII only. Other programs compare
 * and sign such texts, so that the spelling matters.
 */
function pythonJson(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'string') return quote(value)
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : special(value)
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) return `[${value.map((item) => pythonJson(item)).join(', ')}]`
  if (value instanceof Date) return quote(value.toISOString())
  const members = Object.entries(value).filter(([, item]) => item !== undefined)
  return `{${members.map(([name, item]) => `${quote(name)}: ${pythonJson(item)}`).join(', ')}}`
}

function special(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  return value > 0 ? 'Infinity' : '-Infinity'
}

function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/**
 * The fields that decide what is done with an image. They are fields whatever a server's schema says: a record
 * without its disk format or hash would be judged as one that claims nothing.
 *
 * @see https://docs.openstack.org/api-ref/image/v2/#show-image
 */
const names = [
  'id',
  'name',
  'status',
  'visibility',
  'protected',
  'owner',
  'disk_format',
  'container_format',
  'size',
  'virtual_size',
  'min_disk',
  'min_ram',
  'checksum',
  'os_hash_algo',
  'os_hash_value',
  'os_hidden',
  'tags',
  'created_at',
  'updated_at',
  'direct_url',
  'locations',
  'file',
  'self',
  'schema',
] as const

/** A server's schema, completed by the fields that every image has. */
export function withBaseFields(schema: ImageSchema): ImageSchema {
  return { properties: { ...schema.properties, ...Object.fromEntries(names.map((name) => [name, {}])) } }
}

/** The image schema of a Glance, asked for once. Calls wait for the same request, so it ends with none of them. */
export class SharedSchema {
  readonly #client: GlanceClient
  readonly #closing = new AbortController()
  #schema: Promise<ImageSchema> | undefined

  constructor(client: GlanceClient) {
    this.#client = client
  }

  load({ context, signal }: GlanceCallOptions): Promise<ImageSchema> {
    this.#schema ??= this.#request(context)
    return unlessAborted(this.#schema, signal)
  }

  /** Asks for it beside something else. What that fails with is told to those who need it. */
  begin(call: GlanceCallOptions): void {
    this.load(call).catch(() => undefined)
  }

  close(): void {
    this.#closing.abort()
  }

  async #request(context: GlanceCallOptions['context']): Promise<ImageSchema> {
    try {
      return await this.#client.schema('image', { context, signal: this.#closing.signal })
    } catch (error) {
      this.#schema = undefined
      throw error
    }
  }
}
