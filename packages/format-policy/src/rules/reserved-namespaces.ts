import { InvalidError } from '@disk-image/core'

/** Prefixes of metadata that belong to the image service and are never copied to a new image. */
export const glanceReservedNamespaces: readonly string[] = Object.freeze([
  'os_glance',
  'img_signature',
  'signature_verified',
])

/** Options of {@link withoutReservedNamespaces}. */
export interface ReservedNamespacesOptions {
  /** More prefixes, beside {@link glanceReservedNamespaces}. */
  readonly reservedNamespaces?: readonly string[] | null | undefined
}

/**
 * Metadata without the entries whose name begins with a reserved prefix, also inside `properties`. The given
 * object stays as it is.
 *
 * @throws {InvalidError} where `properties` is there and is no object
 * @see cinder.image.image_utils.filter_out_reserved_namespaces_metadata
 */
export function withoutReservedNamespaces(
  metadata: Readonly<Record<string, unknown>> | null | undefined,
  options: ReservedNamespacesOptions = {},
): Record<string, unknown> {
  const reserved = [...glanceReservedNamespaces, ...(options.reservedNamespaces ?? [])]
  const filtered = withoutPrefixes(metadata ?? {}, reserved)
  if (!Object.hasOwn(filtered, 'properties')) return filtered
  const { properties } = filtered
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) {
    throw new InvalidError({ reason: 'Image metadata must have an object as its properties' })
  }
  return { ...filtered, properties: withoutPrefixes(properties as Record<string, unknown>, reserved) }
}

function withoutPrefixes(
  metadata: Readonly<Record<string, unknown>>,
  prefixes: readonly string[],
): Record<string, unknown> {
  const kept = Object.entries(metadata).filter(
    ([name]) => !prefixes.some((prefix) => name.startsWith(prefix)),
  )
  // `fromEntries` defines and never assigns, so a property called __proto__ stays a property.
  return Object.fromEntries(kept)
}
