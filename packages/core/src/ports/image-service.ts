import type { ImageLocation, ImageMetadata, ImageRecord } from '../image-record.ts'
import type { CallOptions, RequestContext } from '../progress.ts'

/**
 * Takes an image's bytes in order.
 *
 * The chunk is lent: it may be used until the returned promise settles, and is overwritten afterwards. Keep
 * bytes with `new Uint8Array(chunk)`: `slice` of a Buffer is only a view of them.
 * The next `write` comes only after that. An error ends the transfer and is passed on as it is.
 */
export interface ByteSink {
  write(chunk: Uint8Array): Promise<void> | void
}

/**
 * A sink that takes several parts at once. Who bounds what is under way by its own memory calls `writeAt` instead of
 * `write`, without waiting for the part before: calls begin in the order of the bytes, and may settle in any.
 */
export interface OverlappedSink extends ByteSink {
  /** @param offset of the chunk's first byte in the whole */
  writeAt(chunk: Uint8Array, offset: number): Promise<void>
}

/** A hash of all bytes of an image. */
export interface Checksum {
  /** As in an image's record: `md5`, `sha1`, `sha256`, `sha512`, `blake2b` … */
  readonly algorithm: string
  /** Lower-case hex. */
  readonly value: string
}

/** What is demanded of a downloaded image's hash. */
export type VerifyPolicy =
  /**
   * `os_hash_*` must be there, be known, and match. A checksum of the caller stands in for it, and a digest other than
   * MD5 that the source promises.
   */
  | 'strict'
  /** The best hash that the record has: `os_hash_*`, else the MD5 `checksum`, else only the size. */
  | 'fallback'
  /** Only the size. */
  | 'none'

/** Options of {@link ImageService.download}. */
export interface DownloadOptions extends CallOptions {
  /** @default 'fallback' */
  readonly verify?: VerifyPolicy | undefined
  /** Further hashes of the same bytes, by Node's names; they come back in the report. */
  readonly additionalHashes?: readonly string[] | undefined
  /** What the bytes must be, whatever `verify` says: each is compared, and one that differs fails the download. */
  readonly checksums?: readonly Checksum[] | undefined
  /** Continue behind these bytes, which the caller already has; they are re-read for the hash. */
  readonly resumeFrom?: ResumePoint | undefined
  /** Parallel Range requests, where the service can. @default 1 */
  readonly connections?: number | undefined
  /**
   * The stores to read from, in this order, where the image is in several. Glance from 2026.1 on; an older one
   * takes no notice of it.
   */
  readonly preferStores?: readonly string[] | undefined
  /** The image's record, where the caller has just read it: it need not be read again before the data. */
  readonly record?: ImageRecord | undefined
}

/** Bytes of an image that an earlier download left. */
export interface ResumePoint {
  readonly bytes: number
  /** Reads what is there, from the start, to bring the hash up to it. */
  read(): AsyncIterable<Uint8Array>
}

/** The report of a download. It is only returned when everything that was demanded is true. */
export interface DownloadReport {
  /** Bytes handed to the sink, without those before a resume point. */
  readonly bytes: number
  /** How often a broken connection was continued. */
  readonly resumes: number
  readonly hash: DownloadHash | undefined
  /** Everything that was compared, and was right; empty where only the size could be. */
  readonly verified: readonly Checksum[]
  /** Hex digests of the additional hashes. */
  readonly additionalHashes: Readonly<Record<string, string>>
  /** From the call to the verified end, with all retries. */
  readonly durationSeconds: number
}

/** The hash over the whole image, and whether it was compared: with the record's, the caller's, or the source's own. */
export interface DownloadHash {
  /** The record's name of it, for example `sha512`. */
  readonly algorithm: string
  /** Lower-case hex. */
  readonly value: string
  readonly verified: boolean
}

/** Where an upload's bytes come from. */
export interface UploadSource {
  /** Bytes, where known. Then exactly so many are sent. */
  readonly size?: number | undefined
  /** Opens the bytes from the start. A source that can do so only once throws the second time. */
  open(): AsyncIterable<Uint8Array>
}

/** Options of {@link ImageService.upload}. */
export interface UploadOptions extends CallOptions {
  /** The store that shall take the data. */
  readonly storeId?: string | undefined
  /** The image that this one was made from. */
  readonly baseImageRef?: string | undefined
  /**
   * What is compared after sending. `fallback`: size, and the hash where the service computes one; `strict`: the
   * hash must be there; `none`: only the size, which saves hashing. @default 'fallback'
   */
  readonly verify?: VerifyPolicy | undefined
}

/** Options of {@link ImageService.update}; those of an upload count where there are data. */
export interface UpdateOptions extends UploadOptions {
  /** The image's data, for an image that has none yet: uploaded first. */
  readonly data?: UploadSource | undefined
  /** Remove properties that are not given. @default true */
  readonly purgeProperties?: boolean | undefined
  /** Properties to remove, whatever else changes; what is not there counts as removed. */
  readonly removeProperties?: readonly string[] | undefined
}

/** Options of {@link ImageService.detail}. Unknown filters are passed on as they are. */
export interface DetailOptions extends CallOptions {
  readonly filters?: Readonly<Record<string, string | number | boolean>> | undefined
  readonly marker?: string | undefined
  readonly limit?: number | undefined
  readonly pageSize?: number | undefined
  /** Sort keys, most important first. */
  readonly sortKeys?: readonly string[] | undefined
  readonly sortDirections?: readonly ('asc' | 'desc')[] | undefined
  readonly memberStatus?: string | undefined
}

/** A place in which an image service keeps data. Flags are strings, as on Glance's wire. */
export interface ImageStore {
  readonly id: string
  readonly description?: string | undefined
  readonly default?: string | boolean | undefined
  readonly 'read-only'?: string | boolean | undefined
}

/** A project that an image is shared with. */
export interface ImageMember {
  readonly image_id?: string | undefined
  readonly member_id: string
  readonly status?: string | undefined
}

/**
 * Where images are: Glance, a folder, or your own.
 *
 * Every call rejects with the family's errors (`ImageNotFoundError`, `ImageNotAuthorizedError`,
 * `ImageDownloadFailedError`, `InvalidError` …) and with the signal's reason after an abort.
 *
 * @see cinder.image.glance.GlanceImageService
 */
export interface ImageService {
  show(context: RequestContext, imageId: string, options?: CallOptions): Promise<ImageRecord>
  detail(context: RequestContext, options?: DetailOptions): Promise<ImageRecord[]>
  create(
    context: RequestContext,
    metadata: ImageMetadata,
    options?: CallOptions & { readonly data?: UploadSource | undefined },
  ): Promise<ImageRecord>
  update(
    context: RequestContext,
    imageId: string,
    metadata: ImageMetadata,
    options?: UpdateOptions,
  ): Promise<ImageRecord>
  /**
   * Sends the data of an image that has none yet, and resolves with its record when they are stored whole.
   *
   * @throws {InvalidError} where the image has data already
   */
  upload(
    context: RequestContext,
    imageId: string,
    source: UploadSource,
    options?: UploadOptions,
  ): Promise<ImageRecord>
  /**
   * Hands the image's bytes to the sink, in order, each once, and resolves only when size and hash are
   * right. After a rejection the bytes already handed over must not be trusted.
   */
  download(
    context: RequestContext,
    imageId: string,
    sink: ByteSink,
    options?: DownloadOptions,
  ): Promise<DownloadReport>
  /**
   * Says that a download follows soon, so that what takes a while to start can start now. Harmless where none
   * follows. Absent: there is nothing to start.
   */
  prepareDownload?(): void
  delete(context: RequestContext, imageId: string, options?: CallOptions): Promise<void>
  getStores(
    context: RequestContext,
    options?: CallOptions,
  ): Promise<{ readonly stores: readonly ImageStore[] }>
  getLocation(
    context: RequestContext,
    imageId: string,
    options?: CallOptions,
  ): Promise<{ readonly directUrl: string | undefined; readonly locations: readonly ImageLocation[] }>
  addLocation(
    context: RequestContext,
    imageId: string,
    url: string,
    metadata: ImageLocation['metadata'],
    options?: CallOptions,
  ): Promise<ImageRecord>
  listMembers(context: RequestContext, imageId: string, options?: CallOptions): Promise<ImageMember[]>
  /**
   * Reads part of the stored data, where the service can. Used to look at an image's head without
   * fetching it. Absent: the service can't.
   */
  readRange?(
    context: RequestContext,
    imageId: string,
    offset: number,
    length: number,
    options?: CallOptions,
  ): Promise<Uint8Array>
}

/** Finds the certificate that an image's signature names: Barbican, a folder of PEM files, your own. */
export interface CertificateSource {
  /**
   * @returns the certificate in PEM
   * @throws where there is none, or it may not be read
   */
  getCertificate(context: RequestContext, certificateId: string, options?: CallOptions): Promise<string>
}
