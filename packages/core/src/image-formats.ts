import { InvalidError } from './errors.ts'

/** Which formats an image service takes, by the fields of an image's record. */
export interface ImageFormats {
  readonly disk_format: readonly string[]
  readonly container_format: readonly string[]
}

/**
 * What Glance takes unless its operator says otherwise.
 *
 * @see https://docs.openstack.org/api-ref/image/v2/#create-image
 */
export const glanceFormats: ImageFormats = Object.freeze({
  disk_format: Object.freeze('ami ari aki vhd vhdx vmdk raw qcow2 vdi iso ploop'.split(' ')),
  container_format: Object.freeze('ami ari aki bare ovf ova docker compressed'.split(' ')),
})

/** @throws {InvalidError} with the field, its value and what is taken; a field that is absent or null is fine */
export function checkImageFormats(
  metadata: { readonly disk_format?: unknown; readonly container_format?: unknown },
  taken: ImageFormats = glanceFormats,
): void {
  for (const field of ['disk_format', 'container_format'] as const) {
    const value = metadata[field]
    if (value === undefined || value === null) continue
    if (typeof value === 'string' && taken[field].includes(value)) continue
    throw new InvalidError({
      reason: `${field} is ${JSON.stringify(value)?.slice(0, 60) ?? typeof value}; it must be one of: ${taken[field].join(', ')}.`,
    })
  }
}
