import { constants } from 'node:fs'
import { open, realpath } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { InvalidError, NotSupportedOperationError } from '@disk-image/core'
import type {
  CallOptions,
  ImageLocation,
  ImageService,
  ImageStore,
  Logger,
  RequestContext,
} from '@disk-image/core'
import type { GlanceImage } from '../api/answers.ts'
import type { GlanceCallOptions, GlanceClient } from '../client/client-types.ts'
import { GlanceHttpError, GlanceStoreNotFoundError, GlanceStoreReadOnlyError } from '../errors.ts'

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

/**
 * Opens the file behind a `file://` location, if it is a regular file that is really under one of the roots.
 *
 * The location comes from the image service, and whoever may set it must not choose among all files of this machine:
 * so roots and file are compared after every symbolic link is resolved, and the resolved name is opened.
 *
 * @returns undefined where the location is not to be used
 */
export async function openDirectFile(
  url: unknown,
  roots: readonly string[],
): Promise<FileHandle | undefined> {
  if (typeof url !== 'string' || roots.length === 0 || !/^file:\/\//i.test(url)) return undefined
  let handle: FileHandle | undefined
  try {
    const file = await realpath(fileURLToPath(url))
    if (!(await isUnder(file, roots))) return undefined
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const status = await handle.stat()
    // Folders on the way may have been swapped since: it is what is open that has to be there.
    const opened = await realpath(`/proc/self/fd/${handle.fd}`)
    if (status.isFile() && (await isUnder(opened, roots))) return handle
    await handle.close()
  } catch {
    await handle?.close().catch(() => undefined)
  }
  return undefined
}

async function isUnder(file: string, roots: readonly string[]): Promise<boolean> {
  for (const root of roots) {
    const real = await realpath(root).catch(() => undefined)
    if (real !== undefined && file.startsWith(real.endsWith(path.sep) ? real : `${real}${path.sep}`))
      return true
  }
  return false
}

/**
 * Checks that the image service has a store, and that data may be written to it.
 *
 * @throws {GlanceStoreNotFoundError}, {@link GlanceStoreReadOnlyError}
 * @see cinder.image.image_utils.validate_stores_id
 */
export async function validateStoreId(
  context: RequestContext,
  imageService: Pick<ImageService, 'getStores'>,
  storeId: string,
  options: CallOptions = {},
): Promise<void> {
  const { stores } = await imageService.getStores(context, options)
  if (!Array.isArray(stores)) throw new InvalidError({ reason: 'The image service does not list its stores' })
  for (const store of stores as readonly Partial<ImageStore>[]) {
    if (typeof store.id !== 'string')
      throw new InvalidError({ reason: 'The image service lists a store without an id' })
    if (store.id !== storeId) continue
    // On Glance's wire the flag is a string.
    if (store['read-only'] === 'true') throw new GlanceStoreReadOnlyError({ storeId })
    return
  }
  throw new GlanceStoreNotFoundError({ storeId })
}
