import type { ImageMetadata } from '@disk-image/core'
import { pythonJson } from './python-json.ts'

/** Fields that the service sets itself. */
const readOnly: ReadonlySet<string> = new Set(['status', 'created_at', 'updated_at', 'deleted_at'])
const jsonProperties: ReadonlySet<string> = new Set(['block_device_mapping', 'mappings'])

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
