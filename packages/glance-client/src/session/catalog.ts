import { printable } from '@disk-image/core'
import { ConfigurationError } from '@disk-image/http'
import { normalizeEndpoint } from './session.ts'

/** A service of Keystone's catalog. */
export interface CatalogService {
  readonly type: string
  readonly name?: string | undefined
  readonly endpoints?:
    | readonly {
        readonly interface?: string | undefined
        readonly region?: string | null | undefined
        readonly region_id?: string | null | undefined
        readonly url?: string | undefined
      }[]
    | undefined
}

/** Which endpoint of a service is wanted. */
interface EndpointChoice {
  readonly serviceType: string
  readonly serviceName?: string | undefined
  /** In the order in which they are preferred: `public`, `internal`, `admin`, with or without `URL` behind. */
  readonly interfaces: readonly string[]
  readonly region?: string | undefined
}

/**
 * The URL of a service, from the catalog.
 *
 * @throws {ConfigurationError} where nothing fits, with what there is
 */
export function endpointFromCatalog(catalog: readonly CatalogService[], choice: EndpointChoice): string {
  const services = catalog.filter(
    ({ type, name }) =>
      type === choice.serviceType && (choice.serviceName === undefined || name === choice.serviceName),
  )
  if (services.length === 0) {
    const types = [...new Set(catalog.map(({ type }) => type))].toSorted()
    throw new ConfigurationError({
      reason: `The cloud's catalog has no service of type ${choice.serviceType}; it has: ${listed(types, 'nothing')}`,
    })
  }
  const endpoints = services.flatMap((service) => service.endpoints ?? [])
  const regions = [...new Set(endpoints.map((endpoint) => regionOf(endpoint)))]
  const inRegion = endpoints.filter(
    (endpoint) => choice.region === undefined || regionOf(endpoint) === choice.region,
  )
  if (inRegion.length === 0) {
    throw new ConfigurationError({
      reason: `The ${choice.serviceType} service is not in the region ${choice.region ?? '?'}; it is in: ${listed(regions, 'none')}`,
    })
  }
  for (const wanted of choice.interfaces) {
    const found = inRegion.find((endpoint) => plainInterface(endpoint.interface) === plainInterface(wanted))
    if (found?.url !== undefined) return normalizeEndpoint(found.url)
  }
  const interfaces = [...new Set(inRegion.map((endpoint) => plainInterface(endpoint.interface)))]
  throw new ConfigurationError({
    reason: `The ${choice.serviceType} service has no ${choice.interfaces.join(' or ')} interface; it has: ${listed(interfaces, 'none')}`,
  })
}

function regionOf(endpoint: {
  region_id?: string | null | undefined
  region?: string | null | undefined
}): string {
  return endpoint.region_id ?? endpoint.region ?? ''
}

function plainInterface(name: string | undefined): string {
  return (name ?? '').replace(/URL$/, '')
}

/** What of a token's catalog is one: entries whose fields have other types are left out. */
export function readCatalog(value: unknown): CatalogService[] {
  return objectsOf(value).flatMap(({ type, name, endpoints }) =>
    typeof type === 'string'
      ? [{ type, name: textOf(name), endpoints: objectsOf(endpoints).map(endpointOf) }]
      : [],
  )
}

function endpointOf(
  fields: Readonly<Record<string, unknown>>,
): NonNullable<CatalogService['endpoints']>[number] {
  return {
    interface: textOf(fields['interface']),
    region: textOf(fields['region']),
    region_id: textOf(fields['region_id']),
    url: textOf(fields['url']),
  }
}

function objectsOf(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  if (!Array.isArray(value)) return []
  return value.filter((one): one is Record<string, unknown> => typeof one === 'object' && one !== null)
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

const longestList = 500

/** What a service chose, as it may be told. */
function listed(names: readonly string[], none: string): string {
  return names.length === 0 ? none : printable(names.join(', '), longestList)
}
