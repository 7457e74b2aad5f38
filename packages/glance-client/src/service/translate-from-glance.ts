import { InvalidError } from '@disk-image/core'
import type { ImagePropertyValue, ImageRecord } from '@disk-image/core'

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
const jsonProperties = ['block_device_mapping', 'mappings'] as const
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
  if (typeof value !== 'string' || !(jsonProperties as readonly string[]).includes(name)) {
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
