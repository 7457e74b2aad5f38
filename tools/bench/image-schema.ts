/** The properties that every image has. Cinder's client takes all others for the user's own. */
const properties = [
  'id',
  'name',
  'status',
  'visibility',
  'protected',
  'os_hidden',
  'checksum',
  'os_hash_algo',
  'os_hash_value',
  'owner',
  'size',
  'virtual_size',
  'container_format',
  'disk_format',
  'created_at',
  'updated_at',
  'tags',
  'direct_url',
  'min_ram',
  'min_disk',
  'self',
  'file',
  'stores',
  'schema',
  'locations',
]

/** What `/v2/schemas/image` answers, as far as a client reads it. */
export const imageSchema: object = {
  name: 'image',
  properties: Object.fromEntries(properties.map((name) => [name, {}])),
  additionalProperties: { type: 'string' },
}
