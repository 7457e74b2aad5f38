import { NotSupportedOperationError } from '@disk-image/core'
import type { ImageLocation, Logger } from '@disk-image/core'
import type { GlanceImage } from '../api/answers.ts'
import type { GlanceCallOptions, GlanceClient } from '../client/client-types.ts'
import { GlanceHttpError } from '../errors.ts'

/** What {@link ImageLocations} needs. */
interface ImageLocationsOptions {
  readonly client: GlanceClient
  readonly locationClient: GlanceClient | undefined
  readonly logger: Logger
  /** An image that the call's context may see. @throws {ImageNotFoundError} */
  readonly showAvailable: (imageId: string, call: GlanceCallOptions) => Promise<GlanceImage>
}

/**
 * Where images are stored: by the API of their own that Glance has since 2024.2, for accounts with the role `service`,
 * or by the fields of the image as before.
 *
 * @see cinder.image.glance.GlanceImageService.get_location, add_location
 */
export class ImageLocations {
  readonly #options: ImageLocationsOptions

  constructor(options: ImageLocationsOptions) {
    this.#options = options
  }

  async read(
    imageId: string,
    call: GlanceCallOptions,
  ): Promise<{ readonly directUrl: string | undefined; readonly locations: readonly ImageLocation[] }> {
    const { client, asService, seen } = await this.#chooseClient(imageId, call)
    const listed = await this.#unlessMissing('Locations are read the old way', () =>
      client.listLocations(imageId, asService),
    )
    if (listed !== undefined) {
      const locations = locationsIn(listed)
      return { directUrl: locations[0]?.url, locations }
    }
    const image = seen ?? (await this.#options.showAvailable(imageId, call))
    return { directUrl: image.direct_url, locations: locationsIn(image['locations']) }
  }

  async add(
    imageId: string,
    url: string,
    metadata: ImageLocation['metadata'],
    call: GlanceCallOptions,
  ): Promise<GlanceImage> {
    const { client, asService } = await this.#chooseClient(imageId, call)
    const done = await this.#unlessMissing('A location is added the old way', async () => {
      await client.addImageLocation(imageId, url, undefined, asService)
      return true
    })
    if (done === true) return this.#options.client.show(imageId, call)
    const image = await this.#unlessMissing(
      'Locations cannot be added',
      () => this.#options.client.addLocation(imageId, url, metadata, call),
      [404],
    )
    if (image !== undefined) return image
    throw new NotSupportedOperationError({
      operation: 'adding a location',
      reason: 'The service has neither way to do it',
    })
  }

  /**
   * Who asks: the account that is there for it, or the context's. The first sees every image, so it asks only for one
   * that the context may see.
   */
  async #chooseClient(
    imageId: string,
    call: GlanceCallOptions,
  ): Promise<{ client: GlanceClient; asService: GlanceCallOptions; seen: GlanceImage | undefined }> {
    const { client, locationClient, showAvailable } = this.#options
    if (locationClient === undefined) return { client, asService: call, seen: undefined }
    const seen = await showAvailable(imageId, call)
    return { client: locationClient, asService: { signal: call.signal }, seen }
  }

  /** A call that older services don't have: undefined where there is no such path, or the account may not use it. */
  async #unlessMissing<T>(
    instead: string,
    ask: () => Promise<T>,
    statuses: readonly number[] = [403, 404, 405, 501],
  ): Promise<T | undefined> {
    try {
      return await ask()
    } catch (error) {
      const cause = error instanceof Error && !(error instanceof GlanceHttpError) ? error.cause : error
      if (!(cause instanceof GlanceHttpError) || !statuses.includes(cause.status)) throw error
      // Refused, and not missing: an account with the role that it takes would have it.
      const level = cause.status === 403 ? 'warn' : 'debug'
      this.#options.logger[level](instead, { status: cause.status, error: cause.message })
      return undefined
    }
  }
}

/** What of a service's list are locations. */
function locationsIn(list: unknown): ImageLocation[] {
  if (!Array.isArray(list)) return []
  return (list as readonly (Partial<ImageLocation> | null)[]).flatMap((entry) =>
    typeof entry?.url === 'string' ? [{ url: entry.url, metadata: entry.metadata ?? {} }] : [],
  )
}
