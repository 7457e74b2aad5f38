import {
  DiskFormat,
  ImageError,
  ImageService,
  Logger,
  ProcessRunner,
  RequestContext,
  Target,
  VerifyPolicy,
  WritableDiskFormat,
} from "@disk-image/core";

import {
  ImageUtils,
} from "@disk-image/image-utils";

interface BackendOptions {
  readonly folders?: readonly string[] | undefined;
  readonly pools?: readonly string[] | undefined;
  readonly maxJobs?: number | undefined;
  readonly runAsRoot?: boolean | undefined;
}

interface CacheCounts {
  hits: number;
  misses: number;
  continuedBytes: number;
  evictions: number;
}

interface CloudAccess {
  readonly imageService: ImageService;
  readonly context?: RequestContext | undefined;
  close?(): Promise<void>;
}

interface CloudOptions {
  open(): Promise<CloudAccess> | CloudAccess;
  readonly maxJobs?: number | undefined;
}

interface CoalesceJob extends OnBackend {
  readonly type: "coalesce";
  readonly chain: readonly string[];
}

interface ConvertJob extends OnBackend {
  readonly type: "convert";
  readonly source: string;
  readonly sourceFormat: DiskFormat;
  readonly volume: string;
  readonly volumeFormat: WritableDiskFormat;
  readonly volumeSubformat?: string | undefined;
  readonly compression?: "none" | "zlib" | "zstd" | undefined;
  readonly disableSparse?: boolean | undefined;
}

interface DriverCall {
  readonly signal: AbortSignal;
}

interface ExpectedHash {
  readonly algorithm: string;
  readonly value: string;
}

interface FetchJob extends OfCloudOrSource {
  readonly type: "fetch";
  readonly volume: string;
  readonly hash?: ExpectedHash | undefined;
  readonly volumeFormat?: WritableDiskFormat | undefined;
  readonly volumeSubformat?: string | undefined;
  readonly volumeSizeGiB?: number | undefined;
  readonly disableSparse?: boolean | undefined;
  readonly verify?: VerifyPolicy | undefined;
  readonly verifyBeforeWrite?: boolean | undefined;
  readonly disk?: string | undefined;
  readonly decrypt?: boolean | undefined;
  readonly passphrase?: string | undefined;
  readonly connections?: number | undefined;
  readonly preferStores?: readonly string[] | undefined;
}

interface Fleet extends AsyncDisposable {
  check(): Promise<void>;
  submit(job: FleetJob, options?: SubmitOptions): Promise<Submitted>;
  show(id: string): Promise<JobView>;
  list(options?: ListOptions): Promise<JobView[]>;
  counts(backend?: string): Promise<Readonly<Record<Exclude<FleetJobState, "cancelled">, number>>>;
  follow(id: string, options?: {
    readonly signal?: AbortSignal | undefined;
  }): AsyncIterable<JobView>;
  wait(id: string, options?: {
    readonly signal?: AbortSignal | undefined;
  }): Promise<JobView>;
  cancel(id: string): Promise<boolean>;
  workers(): Promise<WorkerView[]>;
  backends(): Promise<string[]>;
  close(): Promise<void>;
}

type FleetConnection = string | FleetConnectionOptions;

interface FleetConnectionOptions {
  readonly host?: string;
  readonly port?: number;
  readonly username?: string;
  readonly password?: string;
  readonly db?: number;
  readonly tls?: object;
}

type FleetJob = FetchJob | UploadJob | ConvertJob | CoalesceJob | InspectJob;

export declare class FleetJobNotFoundError extends ImageError {
  readonly code = "FLEET_JOB_NOT_FOUND";
  readonly kind = "not-found";
  readonly jobId: string;
  constructor(jobId: string);
}

type FleetJobState = "waiting" | "delayed" | "active" | "completed" | "failed" | "cancelled";

interface FleetMeter {
  createCounter(name: string): object;
  createHistogram(name: string): object;
  createObservableGauge(name: string): object;
  createObservableCounter(name: string): object;
}

interface FleetOptions {
  readonly connection: FleetConnection;
  readonly prefix?: string | undefined;
  readonly attempts?: number | undefined;
  readonly backoffMs?: number | undefined;
  readonly keepSeconds?: number | undefined;
}

interface FleetWorker extends AsyncDisposable {
  readonly name: string;
  readonly host: string;
  readonly activeJobs: number;
  readonly cacheCounts: CacheCounts | undefined;
  close(options?: {
    readonly graceMs?: number | undefined;
  }): Promise<void>;
  cleanCache(): Promise<string[]>;
}

interface FleetWorkerOptions {
  readonly connection: FleetConnection;
  readonly prefix?: string | undefined;
  readonly name?: string | undefined;
  readonly host?: string | undefined;
  readonly imageUtils: ImageUtils;
  readonly clouds?: Readonly<Record<string, CloudOptions>> | undefined;
  readonly backends: Readonly<Record<string, BackendOptions>>;
  readonly limits?: HostLimitOptions | undefined;
  readonly cache?: ImageCacheOptions | undefined;
  readonly rbd?: VolumeDriver | undefined;
  readonly passphrases?: Readonly<Record<string, string>> | undefined;
  readonly leaseMs?: number | undefined;
  readonly onOverdue?: ((reason: string) => void) | undefined;
  readonly maxCrashes?: number | undefined;
  readonly meter?: FleetMeter | undefined;
  readonly logger?: Logger | undefined;
}

interface HostLimitOptions {
  readonly jobs?: number | undefined;
  readonly conversions?: number | undefined;
  readonly bytesInFlight?: number | undefined;
}

interface ImageCacheOptions {
  readonly directory: string;
  readonly maxBytes: number;
  readonly sharedBy?: string | undefined;
}

interface InspectJob extends OfCloudOrSource {
  readonly type: "inspect";
}

export declare class JobCancelledError extends ImageError {
  readonly code = "FLEET_JOB_CANCELLED";
  readonly kind = "failed";
  constructor();
}

interface JobFailure {
  readonly code: string;
  readonly message: string;
  readonly rule?: string | undefined;
  readonly verdict: "final" | "retry" | "elsewhere" | "cancelled";
}

interface JobProgress {
  readonly stage: string;
  readonly completed: number;
  readonly total?: number | undefined;
  readonly unit: "bytes" | "percent";
  readonly rateBytesPerSecond: number;
  readonly worker: string;
  readonly host: string;
  readonly fencingToken: number;
  readonly error?: JobFailure | undefined;
}

interface JobResult {
  readonly type: JobType;
  readonly fencingToken: number;
  readonly worker: string;
  readonly host: string;
  readonly report: Readonly<Record<string, unknown>>;
}

type JobType = "fetch" | "upload" | "convert" | "coalesce" | "inspect";

interface JobView {
  readonly id: string;
  readonly type: JobType;
  readonly backend: string;
  readonly state: FleetJobState;
  readonly job: FleetJob;
  readonly priority: number;
  readonly attempts: number;
  readonly crashes: number;
  readonly submittedAt: number;
  readonly startedAt: number | undefined;
  readonly endedAt: number | undefined;
  readonly progress: JobProgress | undefined;
  readonly result: JobResult | undefined;
  readonly error: JobFailure | undefined;
}

export declare class LeaseLostError extends ImageError {
  readonly code = "FLEET_LEASE_LOST";
  readonly kind = "failed";
  constructor(init: {
    readonly reason: string;
    readonly cause?: unknown;
  });
}

interface ListOptions {
  readonly backend?: string | undefined;
  readonly states?: readonly FleetJobState[] | undefined;
  readonly limit?: number | undefined;
}

interface OfCloud {
  readonly cloud?: string | undefined;
  readonly imageId: string;
}

interface OfCloudOrSource extends OnBackend {
  readonly cloud?: string | undefined;
  readonly imageId?: string | undefined;
  readonly source?: string | undefined;
  readonly sourceFormat?: DiskFormat | undefined;
}

interface OnBackend {
  readonly backend?: string | undefined;
}

interface RbdAccess {
  readonly id?: string | undefined;
  readonly configuration?: string | undefined;
}

interface RbdName {
  readonly pool: string;
  readonly image: string;
}

export declare class RedisUnreachableError extends ImageError {
  readonly code = "FLEET_REDIS_UNREACHABLE";
  readonly kind = "failed";
  constructor(init: {
    readonly address: string;
    readonly cause?: unknown;
  });
}

interface SubmitOptions {
  readonly priority?: number | undefined;
  readonly again?: boolean | undefined;
}

interface Submitted {
  readonly id: string;
  readonly isNew: boolean;
}

interface UploadJob extends OnBackend, OfCloud {
  readonly type: "upload";
  readonly volume: string;
  readonly volumeFormat?: WritableDiskFormat | undefined;
  readonly compression?: "none" | "zlib" | "zstd" | undefined;
  readonly storeId?: string | undefined;
}

interface VolumeDriver {
  write(file: string, volume: string, call: DriverCall): Promise<void>;
  openNew?(volume: string, call: DriverCall): Promise<Target | undefined>;
  read(volume: string, file: string, call: DriverCall): Promise<void>;
}

interface WorkerView {
  readonly name: string;
  readonly host: string;
  readonly backends: readonly string[];
  readonly activeJobs: readonly string[];
  readonly startedAt: number;
}

export declare function checkJob(value: unknown): FleetJob;

export declare function createFleet(options: FleetOptions): Fleet;

export declare function createRbdDriver(dependencies: {
  readonly runner: ProcessRunner;
}, access?: RbdAccess): VolumeDriver;

export declare function createWorker(options: FleetWorkerOptions): Promise<FleetWorker>;

export declare function globalMeter(): Promise<FleetMeter | undefined>;

export declare function jobIdOf(job: FleetJob): string;

export declare function parseRbdName(volume: string): RbdName | undefined;

export type {
  BackendOptions,
  CacheCounts,
  CloudAccess,
  CloudOptions,
  CoalesceJob,
  ConvertJob,
  DriverCall,
  ExpectedHash,
  FetchJob,
  Fleet,
  FleetConnection,
  FleetConnectionOptions,
  FleetJob,
  FleetJobState,
  FleetMeter,
  FleetOptions,
  FleetWorker,
  FleetWorkerOptions,
  HostLimitOptions,
  ImageCacheOptions,
  InspectJob,
  JobFailure,
  JobProgress,
  JobResult,
  JobType,
  JobView,
  ListOptions,
  RbdAccess,
  RbdName,
  SubmitOptions,
  Submitted,
  UploadJob,
  VolumeDriver,
  WorkerView,
};
