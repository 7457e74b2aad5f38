import type { DiskFormat, VerifyPolicy, WritableDiskFormat } from '@disk-image/core'

/** What can be done. */
export type JobType = 'fetch' | 'upload' | 'convert' | 'coalesce' | 'inspect'

/** Where a job is done: only workers that serve this back end take it. */
interface OnBackend {
  /** The back end's name: letters, digits, `-` and `_`. @default 'default' */
  readonly backend?: string | undefined
}

/** An image service, by name. What signs in to it is the worker's, and is in no job. */
interface OfCloud {
  /** @default 'default' */
  readonly cloud?: string | undefined
  readonly imageId: string
}

/** An image of a service, or what another word names: exactly one of the two. */
interface OfCloudOrSource extends OnBackend {
  /** @default 'default' */
  readonly cloud?: string | undefined
  readonly imageId?: string | undefined
  /**
   * `https://…`, `s3://BUCKET/KEY`, `oci://HOST/REPOSITORY:TAG`, or `image:NAME` of the cloud. It has no secret in it: what
   * signs in is the worker's, and so is where it may lead.
   */
  readonly source?: string | undefined
  /** What the disk of a source is, by any name of the format. @default whatever is found */
  readonly sourceFormat?: DiskFormat | undefined
}

/** The hash that an image must have. */
export interface ExpectedHash {
  /** As the image's record names it, for example `sha512`. */
  readonly algorithm: string
  /** Lower-case hex. */
  readonly value: string
}

/** An image onto a volume. */
export interface FetchJob extends OfCloudOrSource {
  readonly type: 'fetch'
  /** An absolute path, or `rbd:POOL/IMAGE`. */
  readonly volume: string
  /** The image is refused where its record has another one; of a source, where its bytes have. */
  readonly hash?: ExpectedHash | undefined
  /** @default 'raw' */
  readonly volumeFormat?: WritableDiskFormat | undefined
  readonly volumeSubformat?: string | undefined
  readonly volumeSizeGiB?: number | undefined
  readonly disableSparse?: boolean | undefined
  readonly verify?: VerifyPolicy | undefined
  readonly verifyBeforeWrite?: boolean | undefined
  /** The disk to take of an archive (OVA) with several. */
  readonly disk?: string | undefined
  /** Write what is inside of an encrypted image as a raw disk. It needs a `passphrase`. @default false */
  readonly decrypt?: boolean | undefined
  /** The name that the worker knows a passphrase by, which opens an encrypted image. */
  readonly passphrase?: string | undefined
  readonly connections?: number | undefined
  /** The stores to read from, in this order, where the image is in several. @default the service's order */
  readonly preferStores?: readonly string[] | undefined
}

/** A volume into an image that has no data yet. */
export interface UploadJob extends OnBackend, OfCloud {
  readonly type: 'upload'
  readonly volume: string
  /** @default 'raw' */
  readonly volumeFormat?: WritableDiskFormat | undefined
  readonly compression?: 'none' | 'zlib' | 'zstd' | undefined
  readonly storeId?: string | undefined
}

/** A disk file into another format. */
export interface ConvertJob extends OnBackend {
  readonly type: 'convert'
  readonly source: string
  readonly sourceFormat: DiskFormat
  readonly volume: string
  readonly volumeFormat: WritableDiskFormat
  readonly volumeSubformat?: string | undefined
  readonly compression?: 'none' | 'zlib' | 'zstd' | undefined
  readonly disableSparse?: boolean | undefined
}

/** A chain of VHDs into its base. */
export interface CoalesceJob extends OnBackend {
  readonly type: 'coalesce'
  /** Leaf first, base last; absolute paths. */
  readonly chain: readonly string[]
}

/** What an image is, and whether it would be accepted. Writes nothing. */
export interface InspectJob extends OfCloudOrSource {
  readonly type: 'inspect'
}

/** A job as it is submitted. It holds names and no secrets. */
export type FleetJob = FetchJob | UploadJob | ConvertJob | CoalesceJob | InspectJob

/** The result of a job: the facade's report, as JSON. */
export interface JobResult {
  readonly type: JobType
  /** The fencing token that the work was done under; a later holder of the destination has a higher one. */
  readonly fencingToken: number
  readonly worker: string
  readonly host: string
  /** What the facade reported. */
  readonly report: Readonly<Record<string, unknown>>
}

/** A job as the queue has it. */
export interface JobEnvelope {
  readonly version: 1
  /** Told anew with every submission, so that a result is not taken for that of a later one. */
  readonly submission: string
  readonly job: FleetJob
}

/** A job's progress as it is stored. */
export interface JobProgress {
  readonly stage: string
  readonly completed: number
  readonly total?: number | undefined
  readonly unit: 'bytes' | 'percent'
  readonly rateBytesPerSecond: number
  readonly worker: string
  readonly host: string
  readonly fencingToken: number
  readonly error?: JobFailure | undefined
}

/** Why a job, or an attempt at it, failed. */
export interface JobFailure {
  /** The error's stable code, or `UNEXPECTED`. */
  readonly code: string
  readonly message: string
  readonly rule?: string | undefined
  /** What follows: no further attempt, another one, another one on another host. */
  readonly verdict: 'final' | 'retry' | 'elsewhere' | 'cancelled'
}
