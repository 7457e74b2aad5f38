import type {
  ByteSink,
  CallOptions,
  DownloadReport,
  ImageLocation,
  ImageMember,
  ImageStore,
  RequestContext,
  UploadSource,
} from '@disk-image/core'
import type { GlanceImage } from '../api/answers.ts'
import type { GlanceDownloadOptions } from '../data/download.ts'
import type { GlanceUploadOptions } from '../data/upload-state.ts'
import type { UploadReport } from '../data/upload.ts'

/** What every call takes last. */
export interface GlanceCallOptions extends CallOptions {
  /** On whose behalf; its token goes before the session's. */
  readonly context?: RequestContext | undefined
}

/** Which images are listed, and how. */
export interface ListImagesOptions extends GlanceCallOptions {
  /** Any field or property; `size_min`, `created_at: 'gte:…'`, `name: 'in:a,b'`, `tag: ['a', 'b']` … */
  readonly filters?: Readonly<Record<string, string | number | boolean | readonly string[]>> | undefined
  readonly marker?: string | undefined
  /** Images in all. @default every one */
  readonly limit?: number | undefined
  /** Images per request. @default the service's */
  readonly pageSize?: number | undefined
  /** Most important first. */
  readonly sortKeys?: readonly string[] | undefined
  readonly sortDirections?: readonly ('asc' | 'desc')[] | undefined
  readonly memberStatus?: string | undefined
}

/** One change of an image, as JSON patch. The path's `~` and `/` are escaped already. */
export interface ImagePatch {
  readonly op: 'add' | 'replace' | 'remove'
  readonly path: string
  readonly value?: unknown
}

/** How an image's data gets in without being sent by this client. */
export interface ImportRequest {
  readonly method:
    | { readonly name: 'glance-direct' }
    | { readonly name: 'web-download'; readonly uri: string }
    | { readonly name: 'copy-image' }
    | {
        readonly name: 'glance-download'
        readonly glance_region: string
        readonly glance_image_id: string
        readonly glance_service_interface?: string
      }
  readonly stores?: readonly string[] | undefined
  readonly all_stores?: boolean | undefined
  readonly all_stores_must_succeed?: boolean | undefined
}

/** How far an import has come. */
export interface ImportProgress {
  readonly status: string
  /** Stores that still get the data, and those that failed to. */
  readonly importingToStores: readonly string[]
  readonly failedStores: readonly string[]
  /** Bytes, where the service knows them. */
  readonly size: number | undefined
}

/** Options of {@link GlanceClient.waitForImport}. */
export interface WaitForImportOptions extends GlanceCallOptions {
  /**
   * Stores that must have the data. Name them for `copy-image`, where the image is active all the while and only
   * whoever asked for the copy sees its task.
   */
  readonly stores?: readonly string[] | undefined
  /** @default 1000 */
  readonly intervalMs?: number | undefined
  /** @default one hour */
  readonly timeoutMs?: number | undefined
  readonly onImportProgress?: ((progress: ImportProgress) => void) | undefined
}

/** One of an image's tasks, as far as it is the same in all versions. */
export interface ImageTask {
  readonly id?: string
  readonly status?: string
  readonly message?: string | null
  readonly [field: string]: unknown
}

/** An API version that the service has. */
export interface ApiVersion {
  readonly id: string
  readonly status: string
}

/**
 * The Image API v2, call for call. Records and their fields are as on the wire.
 *
 * Every call about an image rejects with `ImageNotFoundError`, `ImageNotAuthorizedError`, `InvalidError` or
 * `ImageLimitExceededError` where they fit, others with `NotFoundError` and `NotAuthorizedError`, with `GlanceHttpError` for every other refusal, and with
 * `GlanceConnectionFailedError` where the service can't be reached.
 *
 * @see https://docs.openstack.org/api-ref/image/v2/
 */
export interface GlanceClient extends AsyncDisposable {
  versions(options?: GlanceCallOptions): Promise<readonly ApiVersion[]>
  schema(
    name: 'image' | 'images' | 'member' | 'members',
    options?: GlanceCallOptions,
  ): Promise<Readonly<Record<string, unknown>>>

  /** Page by page, as far as it is read. */
  list(options?: ListImagesOptions): AsyncIterable<GlanceImage>
  show(imageId: string, options?: GlanceCallOptions): Promise<GlanceImage>
  create(fields: Readonly<Record<string, unknown>>, options?: GlanceCallOptions): Promise<GlanceImage>
  patch(imageId: string, patches: readonly ImagePatch[], options?: GlanceCallOptions): Promise<GlanceImage>
  /** Sets fields, and removes those named. It reads the image first, to know which of them are new. */
  update(
    imageId: string,
    fields: Readonly<Record<string, unknown>>,
    options?: GlanceCallOptions & {
      readonly remove?: readonly string[] | undefined
      /** The image's record, where it was just read. */
      readonly present?: GlanceImage | undefined
    },
  ): Promise<GlanceImage>
  delete(imageId: string, options?: GlanceCallOptions): Promise<void>
  deactivate(imageId: string, options?: GlanceCallOptions): Promise<void>
  reactivate(imageId: string, options?: GlanceCallOptions): Promise<void>

  addTag(imageId: string, tag: string, options?: GlanceCallOptions): Promise<void>
  removeTag(imageId: string, tag: string, options?: GlanceCallOptions): Promise<void>

  listMembers(imageId: string, options?: GlanceCallOptions): Promise<ImageMember[]>
  addMember(imageId: string, memberId: string, options?: GlanceCallOptions): Promise<ImageMember>
  updateMember(
    imageId: string,
    memberId: string,
    status: 'pending' | 'accepted' | 'rejected',
    options?: GlanceCallOptions,
  ): Promise<ImageMember>
  removeMember(imageId: string, memberId: string, options?: GlanceCallOptions): Promise<void>

  getStores(
    options?: GlanceCallOptions & { readonly detail?: boolean | undefined },
  ): Promise<{ readonly stores: readonly ImageStore[] }>
  deleteFromStore(imageId: string, storeId: string, options?: GlanceCallOptions): Promise<void>

  importInfo(options?: GlanceCallOptions): Promise<Readonly<Record<string, unknown>>>
  usage(options?: GlanceCallOptions): Promise<Readonly<Record<string, unknown>>>
  /** Puts data where `import` with `glance-direct` finds it. */
  stage(imageId: string, source: UploadSource, options?: GlanceUploadOptions): Promise<UploadReport>
  /** Asks for an import; {@link waitForImport} tells how it ends. */
  import(imageId: string, request: ImportRequest, options?: GlanceCallOptions): Promise<void>
  /**
   * Waits until an import is done.
   * @throws {ImageImportFailedError} where it failed, also in a single store, or takes too long
   */
  waitForImport(imageId: string, options?: WaitForImportOptions): Promise<GlanceImage>
  tasks(imageId: string, options?: GlanceCallOptions): Promise<readonly ImageTask[]>

  /** Locations by the API of their own (2.17). @throws {GlanceHttpError} 404 in older services */
  listLocations(imageId: string, options?: GlanceCallOptions): Promise<readonly ImageLocation[]>
  addImageLocation(
    imageId: string,
    url: string,
    validationData: Readonly<Record<string, unknown>> | undefined,
    options?: GlanceCallOptions,
  ): Promise<void>
  /** A location by JSON patch, as older services have it. */
  addLocation(
    imageId: string,
    url: string,
    metadata: Readonly<Record<string, unknown>>,
    options?: GlanceCallOptions,
  ): Promise<GlanceImage>

  /** Says that a download follows soon: the thread that hashes it starts now. Harmless where none follows. */
  prepareDownload(): void
  /**
   * Hands the data to the sink, in order, and resolves only if size and hash are right. A cut connection is
   * continued where it was cut.
   */
  download(imageId: string, sink: ByteSink, options?: GlanceDownloadOptions): Promise<DownloadReport>
  /** The same as an iterable. Only when it ends by itself is the data verified; leaving it early frees the connection. */
  read(imageId: string, options?: GlanceDownloadOptions): AsyncIterable<Uint8Array>
  /** Part of the data, not verified; shorter at the end. */
  readRange(imageId: string, offset: number, length: number, options?: GlanceCallOptions): Promise<Uint8Array>
  /**
   * Sends the data and compares what the service then has. After a broken connection they are sent again from the
   * start if the source opens again; an image that is active with other data is deleted, and the error says so.
   * @throws {ImageUploadFailedError}
   */
  upload(imageId: string, source: UploadSource, options?: GlanceUploadOptions): Promise<UploadReport>
  close(): Promise<void>
}
