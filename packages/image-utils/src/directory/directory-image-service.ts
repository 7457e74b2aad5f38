import { mkdir, readdir } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import {
  adaptLogger,
  type ByteSink,
  type CallOptions,
  checkImageFormats,
  type DetailOptions,
  type DownloadOptions,
  type DownloadReport,
  glanceFormats,
  ImageDownloadFailedError,
  type ImageLocation,
  type ImageMember,
  type ImageMetadata,
  ImageNotFoundError,
  type ImageRecord,
  type ImageService,
  type ImageStore,
  InvalidError,
  type Logger,
  NotSupportedOperationError,
  type RequestContext,
  type UpdateOptions,
  type UploadOptions,
  type UploadSource,
} from '@disk-image/core'
import { spaceError } from '@disk-image/host'
import { syncFolder, transferVerified } from '@disk-image/io'
import { readFileInChunks } from '../files/file-chunks.ts'
import { removePartials, storeData, entryOfStore, Sidecar } from './sidecar.ts'
import { withFileReader } from '../files/file-reader.ts'

/** Settings of {@link createDirectoryImageService}. */
export interface DirectoryImageServiceOptions {
  /** Absolute path of the folder; it is made when missing. */
  readonly directory: string
  /** Told of entries that are no images. @default silent */
  readonly logger?: Logger | undefined
}

/** What Glance takes, and what the tools here write besides. */
const takenFormats = {
  ...glanceFormats,
  disk_format: [...glanceFormats.disk_format, 'luks', 'qcow', 'qed', 'vpc', 'parallels'],
}

/**
 * A folder of images: `ID.data` with the bytes and `ID.json` with the record, hashed like Glance's.
 *
 * The embedded image service for where no Glance is at hand. It has one user, whoever may read the folder.
 */
export function createDirectoryImageService(options: DirectoryImageServiceOptions): ImageService {
  return new DirectoryImageService(options)
}

/** See {@link createDirectoryImageService}. */
export class DirectoryImageService implements ImageService {
  readonly #directory: string
  readonly #logger: Logger
  readonly #sidecar: Sidecar

  constructor(options: DirectoryImageServiceOptions) {
    if (!path.isAbsolute(options.directory)) {
      throw new InvalidError({
        reason: `The image folder must be an absolute path; it is ${options.directory}.`,
      })
    }
    this.#directory = options.directory
    this.#logger = adaptLogger(options.logger)
    this.#sidecar = new Sidecar(options.directory)
  }

  async show(_context: RequestContext, imageId: string, options: CallOptions = {}): Promise<ImageRecord> {
    options.signal?.throwIfAborted()
    return this.#sidecar.read(imageId)
  }

  async detail(_context: RequestContext, options: DetailOptions = {}): Promise<ImageRecord[]> {
    options.signal?.throwIfAborted()
    const names = await readdir(this.#directory).catch(emptyWhereMissing).catch(noFolder(this.#directory))
    const ids = names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length))
    const records: ImageRecord[] = []
    for (const id of ids) {
      options.signal?.throwIfAborted()
      try {
        records.push(await this.#sidecar.read(id))
      } catch (error) {
        // One odd entry must not hide all the others.
        this.#logger.warn('Not an image record, left out of the list', {
          file: path.join(this.#directory, `${id}.json`),
          reason: error instanceof Error ? error.message : String(error),
        })
      }
    }
    return selectRecords(records, options)
  }

  async create(
    context: RequestContext,
    metadata: ImageMetadata,
    options: CallOptions & { readonly data?: UploadSource | undefined } = {},
  ): Promise<ImageRecord> {
    checkImageFormats(metadata, takenFormats)
    await this.#makeDirectory().catch(noFolder(this.#directory))
    const id = metadata.id ?? crypto.randomUUID()
    const existing = await this.#sidecar.read(id).catch((error: unknown) => {
      if (error instanceof ImageNotFoundError) return undefined
      throw error
    })
    if (existing !== undefined) throw new InvalidError({ reason: `There is already an image ${id}.` })
    const now = new Date().toISOString()
    const record: ImageRecord = {
      visibility: 'private',
      protected: false,
      container_format: 'bare',
      ...metadata,
      id,
      status: 'queued',
      created_at: now,
      updated_at: now,
      properties: { ...metadata.properties },
    }
    try {
      await this.#sidecar.write(record)
      return options.data === undefined ? record : await this.upload(context, id, options.data, options)
    } catch (error) {
      // What failed is what the caller hears of, whether or not something stays.
      await this.#sidecar.remove(id).catch(() => undefined)
      throw error
    }
  }

  async update(
    context: RequestContext,
    imageId: string,
    metadata: ImageMetadata,
    options: UpdateOptions = {},
  ): Promise<ImageRecord> {
    checkImageFormats(metadata, takenFormats)
    if (options.data !== undefined) await this.upload(context, imageId, options.data, options)
    const before = await this.#sidecar.read(imageId)
    // As with Glance: properties that are not given go, but only where anything is given at all.
    const purge = (options.purgeProperties ?? true) && Object.keys(metadata).length > 0
    const { properties, ...fields } = metadata
    const kept = { ...(purge ? {} : before.properties), ...properties }
    const removed = new Set(options.removeProperties)
    const record: ImageRecord = {
      ...before,
      ...fields,
      id: imageId,
      updated_at: new Date().toISOString(),
      properties: Object.fromEntries(Object.entries(kept).filter(([name]) => !removed.has(name))),
    }
    await this.#sidecar.write(record)
    return record
  }

  async upload(
    _context: RequestContext,
    imageId: string,
    source: UploadSource,
    options: UploadOptions = {},
  ): Promise<ImageRecord> {
    const before = await this.#sidecar.read(imageId)
    if (before.status === 'active') {
      throw new InvalidError({ reason: `Image ${imageId} already has data; image data is never replaced.` })
    }
    const stored = await storeData(this.#sidecar.dataPath(imageId), source, options)
    const updated_at = new Date().toISOString()
    const record: ImageRecord = { ...before, ...stored, status: 'active', updated_at }
    await this.#sidecar.write(record)
    return record
  }

  async download(
    context: RequestContext,
    imageId: string,
    sink: ByteSink,
    options: DownloadOptions = {},
  ): Promise<DownloadReport> {
    const record = await this.show(context, imageId, options)
    if (record.status !== 'active') {
      throw new ImageDownloadFailedError({ imageId, reason: 'image contains no data.' })
    }
    const file = this.#sidecar.dataPath(imageId)
    return transferVerified(
      readFileInChunks(file, {
        ...entryOfStore,
        start: options.resumeFrom?.bytes ?? 0,
        signal: options.signal,
      }),
      sink,
      { ...options, image: record },
    )
  }

  async delete(_context: RequestContext, imageId: string, options: CallOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    const record = await this.#sidecar.read(imageId)
    if (record.protected === true) throw new InvalidError({ reason: `Image ${imageId} is protected.` })
    await this.#sidecar.remove(imageId)
  }

  async getStores(): Promise<{ readonly stores: readonly ImageStore[] }> {
    return { stores: [{ id: 'directory', description: this.#directory, default: 'true' }] }
  }

  async getLocation(
    context: RequestContext,
    imageId: string,
  ): Promise<{ readonly directUrl: string | undefined; readonly locations: readonly ImageLocation[] }> {
    const { status } = await this.show(context, imageId)
    if (status !== 'active') return { directUrl: undefined, locations: [] }
    const url = pathToFileURL(this.#sidecar.dataPath(imageId)).href
    return { directUrl: url, locations: [{ url, metadata: {} }] }
  }

  async addLocation(): Promise<ImageRecord> {
    throw new NotSupportedOperationError({
      operation: 'addLocation',
      reason: 'A folder of images keeps every image itself.',
    })
  }

  async listMembers(context: RequestContext, imageId: string): Promise<ImageMember[]> {
    await this.show(context, imageId)
    return []
  }

  async readRange(
    context: RequestContext,
    imageId: string,
    offset: number,
    length: number,
    options: CallOptions = {},
  ): Promise<Uint8Array> {
    await this.show(context, imageId, options)
    const file = this.#sidecar.dataPath(imageId)
    return withFileReader(file, (reader) => reader.read(offset, length), entryOfStore)
  }

  async #makeDirectory(): Promise<void> {
    const first = await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    if (first === undefined) return
    for (let made = this.#directory; made.length >= first.length; made = path.dirname(made)) {
      await syncFolder(path.dirname(made))
    }
  }

  /** Removes what killed uploads left, and leaves what running ones still write. */
  clean(): Promise<string[]> {
    return removePartials(this.#directory)
  }
}

/** Names what is in the folder's place: a file, a pipe, a link to nothing. */
function noFolder(directory: string): (error: unknown) => Promise<never> {
  return async (error) => {
    const { code = '' } = error as NodeJS.ErrnoException
    if (!['EEXIST', 'ENOTDIR', 'ENOENT'].includes(code)) {
      throw (await spaceError(error, { path: directory })) ?? error
    }
    throw new InvalidError({ reason: `The image folder ${directory} is no folder.`, cause: error })
  }
}

function emptyWhereMissing(error: unknown): string[] {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
  throw error
}

/** Filters, sorts and cuts a list of images as Glance's `GET /v2/images` does. */
function selectRecords(records: readonly ImageRecord[], options: DetailOptions): ImageRecord[] {
  const filters = Object.entries(options.filters ?? {})
  const found = records.filter((record) =>
    filters.every(([name, value]) => fieldOf(record, name) === String(value)),
  )
  const keys = options.sortKeys ?? ['created_at', 'id']
  const sorted = found.toSorted((left, right) => {
    for (const [index, key] of keys.entries()) {
      const order = compare(fieldOf(left, key), fieldOf(right, key))
      if (order !== 0) return (options.sortDirections?.[index] ?? 'desc') === 'asc' ? order : -order
    }
    return 0
  })
  const start =
    options.marker === undefined ? 0 : sorted.findIndex((record) => record.id === options.marker) + 1
  return sorted.slice(start, options.limit === undefined ? undefined : start + options.limit)
}

function fieldOf(record: ImageRecord, name: string): string {
  const fields: Readonly<Record<string, unknown>> = { ...record.properties, ...record }
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function compare(left: string, right: string): number {
  const [a, b] = [Number(left), Number(right)]
  if (left !== '' && right !== '' && Number.isFinite(a) && Number.isFinite(b)) return a - b
  return left < right ? -1 : Number(left > right)
}
