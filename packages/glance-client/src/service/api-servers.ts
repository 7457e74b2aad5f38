import { InvalidError } from '@disk-image/core'
import { parseImageReference } from './image-reference.ts'

/** A Glance server: host with port and path, and whether it speaks https. */
export interface ApiServer {
  readonly netloc: string
  readonly useSsl: boolean
}

/** Where the servers are named. */
export interface ApiServersOptions {
  /** URLs or host names; absent: the catalog is asked. */
  readonly glanceApiServers?: readonly string[] | null | undefined
  /** `<service_type>:<service_name>:<endpoint_type>` @default 'image:glance:publicURL' */
  readonly glanceCatalogInfo?: string | undefined
  /** The region whose endpoint is taken; without a match the first one is. Cinder's `[glance] region_name`. */
  readonly regionName?: string | undefined
  /** A service catalog in the old form, as request contexts carry it. */
  readonly serviceCatalog?:
    | readonly {
        readonly type?: string | undefined
        readonly endpoints?: readonly Readonly<Record<string, string>>[] | undefined
      }[]
    | undefined
}

/**
 * The image servers that a configuration or a context's catalog names, in that order.
 *
 * @throws {InvalidError} where `glanceCatalogInfo` does not have three parts
 * @see cinder.image.glance.get_api_servers
 */
export function getApiServers(options: ApiServersOptions): ApiServer[] {
  const urls = options.glanceApiServers ?? catalogUrls(options)
  return urls.map((server) => {
    const url = server.includes('//') ? server : `http://${server}`
    const { netloc, useSsl } = parseImageReference(url)
    const path = /^[^/]*\/\/[^/?#]*([^?#;]*)/.exec(url)?.[1] ?? ''
    return { netloc: `${netloc}${path}`, useSsl }
  })
}

function catalogUrls(options: ApiServersOptions): string[] {
  const [serviceType, name, endpointType, ...more] = (
    options.glanceCatalogInfo ?? 'image:glance:publicURL'
  ).split(':')
  if (serviceType === undefined || name === undefined || endpointType === undefined || more.length > 0) {
    throw new InvalidError({
      reason:
        "Failed to parse the configuration option 'glance_catalog_info', must be in the form <service_type>:<service_name>:<endpoint_type>",
    })
  }
  return (options.serviceCatalog ?? [])
    .filter(({ type }) => type === serviceType)
    .map(({ endpoints = [] }) => {
      const regional = endpoints.find(
        ({ region }) => options.regionName !== undefined && region === options.regionName,
      )
      return (regional ?? endpoints[0])?.[endpointType]
    })
    .filter((url) => url !== undefined)
}
