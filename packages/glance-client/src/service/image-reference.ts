import { InvalidError } from '@disk-image/core'
import type { ImageService } from '@disk-image/core'
import { InvalidImageReferenceError } from '../errors.ts'

/** A URL of an image, taken apart. */
interface ImageReference {
  readonly imageId: string
  /** Host and port as they stand there, empty where there is none. */
  readonly netloc: string
  readonly useSsl: boolean
}

/**
 * Takes an image's URL apart: the id is behind its last slash.
 *
 * @throws {InvalidImageReferenceError} where a bracket of the host has no partner
 * @see cinder.image.glance._parse_image_ref
 */
export function parseImageReference(reference: string): ImageReference {
  // oxlint-disable-next-line no-control-regex -- what URL parsers drop
  const text = reference.replace(/^[\u0000-\u0020]+/, '').replace(/[\t\n\r]/g, '')
  const scheme = /^([a-z][a-z\d+.-]*):/i.exec(text)?.[1]
  const rest = scheme === undefined ? text : text.slice(scheme.length + 1)
  const netloc = /^\/\/([^/?#]*)/.exec(rest)?.[1]
  if (netloc !== undefined && netloc.includes('[') !== netloc.includes(']')) {
    throw new InvalidImageReferenceError({ imageReference: reference })
  }
  const path = rest.slice(netloc === undefined ? 0 : netloc.length + 2).replace(/[?#].*$/s, '')
  return {
    imageId: (path.split('/').at(-1) ?? '').replace(/;.*$/s, ''),
    netloc: netloc ?? '',
    useSsl: scheme?.toLowerCase() === 'https',
  }
}

/**
 * The service and id that a reference means: the default service for a plain id, another for a URL.
 *
 * A URL often comes from a user. So `createService` decides what may be called, and with which credentials: a
 * service's own token must not be sent to any host that somebody names.
 *
 * @throws {InvalidImageReferenceError}
 * @see cinder.image.glance.get_remote_image_service
 */
export function getRemoteImageService(
  reference: string,
  defaultService: ImageService,
  createService: (netloc: string, useSsl: boolean) => ImageService,
): { readonly imageService: ImageService; readonly imageId: string } {
  if (!reference.includes('/')) return { imageService: defaultService, imageId: reference }
  const { imageId, netloc, useSsl } = parseImageReference(reference)
  return { imageService: createService(netloc, useSsl), imageId }
}

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
