import type { ImageSchema } from './translate-from-glance.ts'

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
