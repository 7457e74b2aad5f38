import {
  adaptLogger,
  checkImageFormats,
  glanceFormats,
  ImageNotFoundError,
  InvalidError,
} from '@disk-image/core'
import type {
  ByteSink,
  CallOptions,
  DetailOptions,
  DownloadOptions,
  DownloadReport,
  ImageFormats,
  ImageLocation,
  ImageMember,
  ImageMetadata,
  ImageRecord,
  ImageService,
  ImageStore,
  Logger,
  RequestContext,
  UpdateOptions,
  UploadOptions,
  UploadSource,
} from '@disk-image/core'
import { transferVerified } from '@disk-image/io'
import type { GlanceImage } from '../api/answers.ts'
import type { GlanceClientOptions } from '../client/client-options.ts'
import type { GlanceCallOptions, GlanceClient } from '../client/client-types.ts'
import { createGlanceClient } from '../client/create-glance-client.ts'
import { openDirectFile } from './image-locations.ts'
import { ImageLocations } from './image-locations.ts'
import { isImageAvailable } from './is-image-available.ts'
import { SharedSchema } from './translate.ts'
import { translateFromGlance, translateToGlance, withBaseFields } from './translate.ts'

/** Settings of a {@link GlanceImageService}. */
export interface GlanceImageServiceOptions {
  /**
   * Schemes of locations that are read directly instead of through Glance. Only `file` is known.
   * @default []
   */
  readonly allowedDirectUrlSchemes?: readonly string[] | undefined
  /** Directories with such files. Without any, no file is read. @default [] */
  readonly directUrlRoots?: readonly string[] | undefined
  /**
   * A client whose own account reads and adds locations: Glance from 2024.2 on gives them to the role `service` only,
   * not to users. On behalf of a context it is used only for images that the context may see. Close it yourself.
   * @default the context's account
   */
  readonly locationClient?: GlanceClient | undefined
  /**
   * Whether images are checked against the context where no token lets Glance do it. @default true without a
   * session; a context that names nobody is the service's own account, and sees everything
   */
  readonly checkAvailability?: boolean | undefined
}

/** @throws {InvalidError} */
function checkImageServiceOptions(options: GlanceImageServiceOptions): void {
  for (const root of options.directUrlRoots ?? []) {
    if (!root.startsWith('/')) {
      throw new InvalidError({
        reason: `The option directUrlRoots has ${JSON.stringify(root)}; it must be absolute paths`,
      })
    }
  }
}

/** Properties that Glance keeps itself; a purge leaves them alone. */
const ownProperties = /^(?:os_glance_|stores$)/

/** Glance as the port `ImageService`: what Cinder's own class of that name is to Cinder. */
export interface GlanceImageService extends ImageService, AsyncDisposable {
  readonly client: GlanceClient
  readRange(
    context: RequestContext,
    imageId: string,
    offset: number,
    length: number,
    options?: CallOptions,
  ): Promise<Uint8Array>
  close(): Promise<void>
}

/**
 * Makes the image service on a client, or on a client's options.
 *
 * @throws {InvalidError} where an option is wrong
 * @see cinder.image.glance.GlanceImageService
 */
export function createGlanceImageService(
  clientOrOptions: GlanceClient | GlanceClientOptions,
  options: GlanceImageServiceOptions = {},
): GlanceImageService {
  checkImageServiceOptions(options)
  const given = 'show' in clientOrOptions
  const client = given ? clientOrOptions : createGlanceClient(clientOrOptions)
  const checks = options.checkAvailability ?? (given || clientOrOptions.session === undefined)
  return new Service(client, options, { checks, logger: given ? undefined : clientOrOptions.logger })
}

class Service implements GlanceImageService {
  readonly client: GlanceClient
  readonly #options: GlanceImageServiceOptions
  readonly #checks: boolean
  readonly #locations: ImageLocations
  readonly #schema: SharedSchema

  constructor(
    client: GlanceClient,
    options: GlanceImageServiceOptions,
    more: { readonly checks: boolean; readonly logger: Logger | undefined },
  ) {
    this.client = client
    this.#options = options
    this.#checks = more.checks
    this.#locations = new ImageLocations({
      client,
      locationClient: options.locationClient,
      logger: adaptLogger(more.logger),
      showAvailable: (imageId, call) => this.#showAvailable(imageId, call),
    })
    this.#schema = new SharedSchema(client)
  }

  async show(context: RequestContext, imageId: string, options: CallOptions = {}): Promise<ImageRecord> {
    const call = { ...options, context }
    this.#schema.begin(call)
    return this.#translate(await this.#showAvailable(imageId, call), call)
  }

  async detail(context: RequestContext, options: DetailOptions = {}): Promise<ImageRecord[]> {
    const call = { ...options, context }
    const records: ImageRecord[] = []
    for await (const image of this.client.list(call)) {
      if (await this.#isAvailable(image, call)) records.push(await this.#translate(image, call))
    }
    return records
  }

  async create(
    context: RequestContext,
    metadata: ImageMetadata,
    options: CallOptions & { readonly data?: UploadSource | undefined } = {},
  ): Promise<ImageRecord> {
    const call = { ...options, context }
    await this.#checkFormats(metadata, call)
    const fields = translateToGlance(metadata)
    const image = await this.client.create(fields, call)
    if (options.data === undefined) return this.#translate(image, call)
    await this.client.upload(image.id, options.data, call)
    return this.#translate(await this.client.show(image.id, call), call)
  }

  async update(
    context: RequestContext,
    imageId: string,
    metadata: ImageMetadata,
    options: UpdateOptions = {},
  ): Promise<ImageRecord> {
    const call = { ...options, context }
    await this.#checkFormats(metadata, call)
    const { removeProperties = [] } = options
    if (options.data !== undefined) await this.client.upload(imageId, options.data, call)
    const unchanged = Object.keys(metadata).length === 0 && removeProperties.length === 0
    if (unchanged) return this.show(context, imageId, options)
    // An image's id never changes; callers who hand on a whole record name it.
    const { id: _, ...fields } = translateToGlance(metadata)
    const present = await this.#showAvailable(imageId, call)
    const purges = options.purgeProperties !== false && Object.keys(metadata).length > 0
    const surplus = purges ? await this.#surplus(present, metadata, call) : []
    const remove = [...surplus, ...(await this.#propertiesOf(present, removeProperties, call))]
    const image = await this.client.update(imageId, fields, { ...call, present, remove })
    return this.#translate(image, call)
  }

  async upload(
    context: RequestContext,
    imageId: string,
    source: UploadSource,
    options: UploadOptions = {},
  ): Promise<ImageRecord> {
    await this.client.upload(imageId, source, { ...options, context })
    return this.show(context, imageId, options)
  }

  async download(
    context: RequestContext,
    imageId: string,
    sink: ByteSink,
    options: DownloadOptions = {},
  ): Promise<DownloadReport> {
    const direct = await this.#downloadDirectly(context, imageId, sink, options)
    const { record, ...rest } = options
    return (
      direct ?? this.client.download(imageId, sink, { ...rest, image: imageOf(record, imageId), context })
    )
  }

  prepareDownload(): void {
    this.client.prepareDownload()
  }

  async delete(context: RequestContext, imageId: string, options: CallOptions = {}): Promise<void> {
    await this.client.delete(imageId, { ...options, context })
  }

  getStores(
    context: RequestContext,
    options: CallOptions = {},
  ): Promise<{ readonly stores: readonly ImageStore[] }> {
    return this.client.getStores({ ...options, context })
  }

  getLocation(
    context: RequestContext,
    imageId: string,
    options: CallOptions = {},
  ): Promise<{ readonly directUrl: string | undefined; readonly locations: readonly ImageLocation[] }> {
    return this.#locations.read(imageId, { ...options, context })
  }

  async addLocation(
    context: RequestContext,
    imageId: string,
    url: string,
    metadata: ImageLocation['metadata'],
    options: CallOptions = {},
  ): Promise<ImageRecord> {
    const call = { ...options, context }
    return this.#translate(await this.#locations.add(imageId, url, metadata, call), call)
  }

  listMembers(context: RequestContext, imageId: string, options: CallOptions = {}): Promise<ImageMember[]> {
    return this.client.listMembers(imageId, { ...options, context })
  }

  readRange(
    context: RequestContext,
    imageId: string,
    offset: number,
    length: number,
    options: CallOptions = {},
  ): Promise<Uint8Array> {
    return this.client.readRange(imageId, offset, length, { ...options, context })
  }

  async close(): Promise<void> {
    this.#schema.close()
    await this.client.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #showAvailable(imageId: string, call: GlanceCallOptions): Promise<GlanceImage> {
    const image = await this.client.show(imageId, call)
    if (!(await this.#isAvailable(image, call))) throw new ImageNotFoundError({ imageId })
    return image
  }

  /** @throws {InvalidError} for a format that the service's own schema does not have */
  async #checkFormats(metadata: ImageMetadata, call: GlanceCallOptions): Promise<void> {
    if ((metadata.disk_format ?? metadata.container_format ?? null) === null) return
    const { properties = {} } = await this.#schema.load(call)
    const taken = (field: keyof ImageFormats): readonly string[] => {
      const names = Object.hasOwn(properties, field) ? properties[field]?.enum : undefined
      return names?.filter((name) => typeof name === 'string') ?? glanceFormats[field]
    }
    checkImageFormats(metadata, {
      disk_format: taken('disk_format'),
      container_format: taken('container_format'),
    })
  }

  async #translate(image: GlanceImage, call: GlanceCallOptions): Promise<ImageRecord> {
    return translateFromGlance(image, withBaseFields(await this.#schema.load(call)))
  }

  async #isAvailable(image: GlanceImage, call: GlanceCallOptions): Promise<boolean> {
    const context = call.context ?? {}
    const { projectId, userId, isAdmin } = context
    const nobody = projectId === undefined && userId === undefined && isAdmin === undefined
    if (!this.#checks || nobody) return true
    if (projectId !== undefined && image.owner === projectId) return true
    return isImageAvailable(context, image, () => this.client.listMembers(image.id, call))
  }

  /** Properties that an image has and that the new metadata do not name. */
  async #surplus(present: GlanceImage, metadata: ImageMetadata, call: GlanceCallOptions): Promise<string[]> {
    const wanted = new Set(Object.keys(metadata.properties ?? {}))
    const { properties } = await this.#translate(present, call)
    return Object.keys(properties).filter((name) => !wanted.has(name) && !ownProperties.test(name))
  }

  /** Those of the names that are properties of an image: a field is never removed. */
  async #propertiesOf(
    present: GlanceImage,
    names: readonly string[],
    call: GlanceCallOptions,
  ): Promise<string[]> {
    if (names.length === 0) return []
    const { properties } = await this.#translate(present, call)
    return names.filter((name) => Object.hasOwn(properties, name))
  }

  /** Reads the file behind a location, where that is allowed; as strictly verified as a download. */
  async #downloadDirectly(
    context: RequestContext,
    imageId: string,
    sink: ByteSink,
    options: DownloadOptions,
  ): Promise<DownloadReport | undefined> {
    const schemes = this.#options.allowedDirectUrlSchemes ?? []
    if (!schemes.includes('file') || options.resumeFrom !== undefined) return undefined
    const { directUrl, locations } = await this.getLocation(context, imageId, options)
    // A service may show the one without the others.
    for (const url of new Set([directUrl, ...locations.map((location) => location.url)])) {
      const file = await openDirectFile(url, this.#options.directUrlRoots ?? [])
      if (file === undefined) continue
      try {
        const image = await this.client.show(imageId, { ...options, context })
        const source = file.createReadStream({ autoClose: false, highWaterMark: 1024 * 1024, start: 0 })
        return await transferVerified(source, sink, { ...options, image })
      } finally {
        await file.close()
      }
    }
    return undefined
  }
}

/** What a download has to know of an image. */
function imageOf(record: ImageRecord | undefined, imageId: string): GlanceImage | undefined {
  if (record === undefined || record.id !== imageId) return undefined
  const { id, status = '', size = null, checksum = null, os_hash_algo = null, os_hash_value = null } = record
  return { id, status, size, checksum, os_hash_algo, os_hash_value }
}
