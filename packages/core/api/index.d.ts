interface ByteSink {
  write(chunk: Uint8Array): Promise<void> | void;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ProgressListener | undefined;
  readonly writeRight?: WriteRight | undefined;
}

interface CertificateSource {
  getCertificate(context: RequestContext, certificateId: string, options?: CallOptions): Promise<string>;
}

interface Checksum {
  readonly algorithm: string;
  readonly value: string;
}

interface Clock {
  monotonicMs(): number;
  wallMs(): number;
}

interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

interface DetailOptions extends CallOptions {
  readonly filters?: Readonly<Record<string, string | number | boolean>> | undefined;
  readonly marker?: string | undefined;
  readonly limit?: number | undefined;
  readonly pageSize?: number | undefined;
  readonly sortKeys?: readonly string[] | undefined;
  readonly sortDirections?: readonly ("asc" | "desc")[] | undefined;
  readonly memberStatus?: string | undefined;
}

interface Disk extends RandomAccessReader, AsyncDisposable {
  extents(options?: CallOptions): AsyncIterable<Extent>;
  copyTo(receiver: DiskReceiver, options?: CallOptions): Promise<void>;
  close(): Promise<void>;
}

type DiskFormat = WritableDiskFormat | "bochs" | "cloop" | "dmg";

interface DiskReceiver {
  data(offset: number, bytes: Uint8Array): Promise<void> | void;
  zero(offset: number, length: number): Promise<void> | void;
}

interface DownloadHash {
  readonly algorithm: string;
  readonly value: string;
  readonly verified: boolean;
}

interface DownloadOptions extends CallOptions {
  readonly verify?: VerifyPolicy | undefined;
  readonly additionalHashes?: readonly string[] | undefined;
  readonly checksums?: readonly Checksum[] | undefined;
  readonly resumeFrom?: ResumePoint | undefined;
  readonly connections?: number | undefined;
  readonly preferStores?: readonly string[] | undefined;
  readonly record?: ImageRecord | undefined;
}

interface DownloadReport {
  readonly bytes: number;
  readonly resumes: number;
  readonly hash: DownloadHash | undefined;
  readonly verified: readonly Checksum[];
  readonly additionalHashes: Readonly<Record<string, string>>;
  readonly durationSeconds: number;
}

interface EncodedImage {
  readonly format: string;
  readonly sizeBytes: number | undefined;
  readonly temporaryBytes: number;
  open(options?: CallOptions): AsyncIterable<Uint8Array>;
  writeTo(target: Pick<Target, "write" | "zero">, options?: CallOptions): Promise<number>;
  close?(): Promise<void>;
}

interface Envelope extends ByteSink {
  end(): Promise<void>;
  close(): Promise<void>;
}

interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly kind: "data" | "zero" | "hole";
}

type FormatUse = "read" | "write";

export declare const GiB: number;

export declare class ImageDownloadFailedError extends ImageError {
  readonly code = "IMAGE_DOWNLOAD_FAILED";
  readonly kind = "failed";
  readonly imageId: string;
  readonly reason: string;
  readonly partial: boolean;
  constructor(init: ImageDownloadFailedErrorInit);
}

interface ImageDownloadFailedErrorInit {
  readonly imageId: string;
  readonly reason: string;
  readonly partial?: boolean;
  readonly cause?: unknown;
}

export declare abstract class ImageError extends Error {
  abstract readonly code: string;
  abstract readonly kind: ImageErrorKind;
  constructor({ message, cause }: ImageErrorInit);
  static is(error: unknown): error is ImageError;
}

interface ImageErrorInit {
  readonly message: string;
  readonly cause?: unknown;
}

type ImageErrorKind = "refused" | "not-found" | "not-authorized" | "invalid" | "failed";

interface ImageFormats {
  readonly disk_format: readonly string[];
  readonly container_format: readonly string[];
}

interface ImageLocation {
  readonly url: string;
  readonly metadata: {
    readonly [key: string]: unknown;
  };
}

interface ImageMember {
  readonly image_id?: string | undefined;
  readonly member_id: string;
  readonly status?: string | undefined;
}

type ImageMetadata = Partial<Omit<ImageRecord, "properties">> & {
  readonly properties?: ImageRecord["properties"] | undefined;
};

export declare class ImageNotAuthorizedError extends ImageError {
  readonly code = "IMAGE_NOT_AUTHORIZED";
  readonly kind = "not-authorized";
  readonly imageId: string;
  constructor(init: {
    readonly imageId: string;
    readonly detail?: string;
    readonly cause?: unknown;
  });
}

export declare class ImageNotFoundError extends ImageError {
  readonly code = "IMAGE_NOT_FOUND";
  readonly kind = "not-found";
  readonly imageId: string;
  constructor(init: {
    readonly imageId: string;
    readonly detail?: string;
    readonly cause?: unknown;
  });
}

type ImagePropertyValue = string | number | boolean | null | readonly unknown[] | {
  readonly [key: string]: unknown;
};

interface ImageRecord {
  readonly id: string;
  readonly name?: string | null | undefined;
  readonly status?: string | undefined;
  readonly visibility?: string | undefined;
  readonly protected?: boolean | undefined;
  readonly owner?: string | null | undefined;
  readonly disk_format?: string | null | undefined;
  readonly container_format?: string | null | undefined;
  readonly size?: number | null | undefined;
  readonly virtual_size?: number | null | undefined;
  readonly min_disk?: number | undefined;
  readonly min_ram?: number | undefined;
  readonly checksum?: string | null | undefined;
  readonly os_hash_algo?: string | null | undefined;
  readonly os_hash_value?: string | null | undefined;
  readonly os_hidden?: boolean | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly created_at?: string | Date | undefined;
  readonly updated_at?: string | Date | undefined;
  readonly deleted_at?: string | Date | null | undefined;
  readonly deleted?: boolean | undefined;
  readonly direct_url?: string | undefined;
  readonly locations?: readonly ImageLocation[] | undefined;
  readonly properties: {
    readonly [key: string]: ImagePropertyValue | undefined;
  };
}

interface ImageService {
  show(context: RequestContext, imageId: string, options?: CallOptions): Promise<ImageRecord>;
  detail(context: RequestContext, options?: DetailOptions): Promise<ImageRecord[]>;
  create(context: RequestContext, metadata: ImageMetadata, options?: CallOptions & {
    readonly data?: UploadSource | undefined;
  }): Promise<ImageRecord>;
  update(context: RequestContext, imageId: string, metadata: ImageMetadata, options?: UpdateOptions): Promise<ImageRecord>;
  upload(context: RequestContext, imageId: string, source: UploadSource, options?: UploadOptions): Promise<ImageRecord>;
  download(context: RequestContext, imageId: string, sink: ByteSink, options?: DownloadOptions): Promise<DownloadReport>;
  prepareDownload?(): void;
  delete(context: RequestContext, imageId: string, options?: CallOptions): Promise<void>;
  getStores(context: RequestContext, options?: CallOptions): Promise<{
    readonly stores: readonly ImageStore[];
  }>;
  getLocation(context: RequestContext, imageId: string, options?: CallOptions): Promise<{
    readonly directUrl: string | undefined;
    readonly locations: readonly ImageLocation[];
  }>;
  addLocation(context: RequestContext, imageId: string, url: string, metadata: ImageLocation["metadata"], options?: CallOptions): Promise<ImageRecord>;
  listMembers(context: RequestContext, imageId: string, options?: CallOptions): Promise<ImageMember[]>;
  readRange?(context: RequestContext, imageId: string, offset: number, length: number, options?: CallOptions): Promise<Uint8Array>;
}

interface ImageSnapshot {
  readonly id: string;
  readonly name: string;
  readonly vmStateSize: number;
}

interface ImageStore {
  readonly id: string;
  readonly description?: string | undefined;
  readonly default?: string | boolean | undefined;
  readonly "read-only"?: string | boolean | undefined;
}

export declare class ImageTooBigError extends InvalidError {
  override readonly code: string;
  override readonly kind: ImageErrorKind;
  readonly imageId: string;
  constructor(init: ImageTooBigErrorInit);
}

interface ImageTooBigErrorInit {
  readonly imageId: string;
  readonly reason: string;
  readonly cause?: unknown;
}

export declare class ImageUnacceptableError extends InvalidError {
  override readonly code: string;
  override readonly kind: ImageErrorKind;
  readonly imageId: string;
  readonly rule: string | undefined;
  readonly found: string | undefined;
  readonly offset: number | undefined;
  readonly accepted: string | undefined;
  readonly reference: string | undefined;
  constructor(init: ImageUnacceptableErrorInit);
}

interface ImageUnacceptableErrorInit extends Omit<Refusal, "rule"> {
  readonly imageId: string;
  readonly rule?: string | undefined;
  readonly cause?: unknown;
}

export declare class InvalidError extends ImageError {
  readonly code: string;
  readonly kind: ImageErrorKind;
  readonly reason: string;
  constructor(init: InvalidErrorInit);
}

interface InvalidErrorInit {
  readonly reason: string;
  readonly message?: string | undefined;
  readonly cause?: unknown;
}

export declare const KiB = 1024;

interface Layout {
  readonly format: string;
  readonly sizeBytes: number;
  readonly problems: readonly Refusal[];
}

interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export declare const MiB: number;

export declare class NotSupportedOperationError extends InvalidError {
  override readonly code: string;
  readonly operation: string;
  constructor(init: {
    readonly operation: string;
    readonly reason?: string;
    readonly cause?: unknown;
  });
}

interface OverlappedSink extends ByteSink {
  writeAt(chunk: Uint8Array, offset: number): Promise<void>;
}

type ProcessEndReason = "exit" | "not-installed" | "not-permitted" | "signal" | "timeout" | "cpu-limit" | "memory-limit" | "output-limit" | "file-size-limit";

export declare class ProcessExecutionError extends ImageError {
  readonly code = "PROCESS_EXECUTION_FAILED";
  readonly kind = "failed";
  readonly command: readonly string[];
  readonly exitCode: number | undefined;
  readonly signalName: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
  readonly endReason: ProcessEndReason;
  readonly shortMessage: string;
  constructor(init: ProcessExecutionErrorInit);
}

interface ProcessExecutionErrorInit {
  readonly command: readonly string[];
  readonly exitCode?: number | undefined;
  readonly signalName?: string | undefined;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly durationMs?: number;
  readonly endReason: ProcessEndReason;
  readonly advice?: string | undefined;
  readonly cause?: unknown;
}

interface ProcessFileAccess {
  readonly read?: readonly string[];
  readonly write?: readonly string[];
  readonly writeDirectories?: readonly string[];
}

interface ProcessLimits {
  readonly cpuSeconds?: number | undefined;
  readonly addressSpaceBytes?: number | undefined;
  readonly fileSizeBytes?: number | undefined;
}

interface ProcessResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

interface ProcessRunner {
  run(command: Command, options?: RunOptions): Promise<ProcessResult>;
}

interface Progress {
  readonly stage: ProgressStage;
  readonly completed: number;
  readonly total?: number | undefined;
  readonly unit: "bytes" | "percent";
  readonly resumes?: number | undefined;
  readonly fraction?: number | undefined;
  readonly bytesPerSecond?: number | undefined;
}

type ProgressListener = (progress: Progress) => void;

type ProgressStage = "inspect" | "download" | "verify" | "convert" | "write" | "upload" | "coalesce" | "extract";

interface QemuImgInfo {
  readonly image?: string | undefined;
  readonly fileFormat: string | undefined;
  readonly virtualSize: number;
  readonly diskSize: number | undefined;
  readonly backingFile: string | undefined;
  readonly backingFileFormat: string | undefined;
  readonly clusterSize: number | undefined;
  readonly encrypted: boolean;
  readonly snapshots: readonly ImageSnapshot[];
  readonly formatSpecific: {
    readonly type: string;
    readonly data: {
      readonly [key: string]: unknown;
    };
  } | undefined;
}

interface RandomAccessReader {
  readonly size: number;
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
}

interface Refusal {
  readonly rule: string;
  readonly reason: string;
  readonly found?: string | undefined;
  readonly offset?: number | undefined;
  readonly accepted?: string | undefined;
  readonly reference?: string | undefined;
}

interface RequestContext {
  readonly userId?: string | undefined;
  readonly projectId?: string | undefined;
  readonly authToken?: string | undefined;
  readonly serviceToken?: string | undefined;
  readonly isAdmin?: boolean | undefined;
  readonly globalRequestId?: string | undefined;
}

interface ResumePoint {
  readonly bytes: number;
  read(): AsyncIterable<Uint8Array>;
}

interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  readonly limits?: ProcessLimits | undefined;
  readonly asRoot?: boolean | undefined;
  readonly prefix?: readonly string[] | undefined;
  readonly input?: string | Uint8Array | AsyncIterable<Uint8Array> | undefined;
  readonly onLine?: ((line: string) => void) | undefined;
  readonly onOutput?: ((bytes: Uint8Array) => Promise<void> | void) | undefined;
  readonly maxOutputBytes?: number | undefined;
  readonly files?: ProcessFileAccess | undefined;
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

interface Source {
  readonly name: string;
  readonly sizeBytes: number | undefined;
  readonly promises?: readonly Checksum[] | undefined;
  download(sink: ByteSink, options?: DownloadOptions): Promise<DownloadReport>;
  readRange?(offset: number, length: number, options?: CallOptions): Promise<Uint8Array>;
  peek?(length: number, options?: CallOptions): Promise<Uint8Array>;
  close?(): Promise<void>;
}

interface Target extends AsyncDisposable {
  write(bytes: Uint8Array, offset: number): Promise<void>;
  zero(offset: number, length: number): Promise<void>;
  commit(sizeBytes: number, check?: (path: string) => Promise<void>): Promise<void>;
  abandon(): Promise<void>;
}

interface TemporaryFileOptions {
  readonly prefix?: string | undefined;
  readonly suffix?: string | undefined;
}

interface TemporaryFiles {
  readonly directory: string;
  createFile(options?: TemporaryFileOptions): Promise<string>;
  file(options?: TemporaryFileOptions): Promise<TemporaryPath>;
  temporaryDirectory(options?: TemporaryFileOptions): Promise<TemporaryPath>;
  cleanup(suffix: string): Promise<void>;
}

interface TemporaryPath extends AsyncDisposable {
  readonly path: string;
}

interface UpdateOptions extends UploadOptions {
  readonly data?: UploadSource | undefined;
  readonly purgeProperties?: boolean | undefined;
  readonly removeProperties?: readonly string[] | undefined;
}

interface UploadOptions extends CallOptions {
  readonly storeId?: string | undefined;
  readonly baseImageRef?: string | undefined;
  readonly verify?: VerifyPolicy | undefined;
}

interface UploadSource {
  readonly size?: number | undefined;
  open(): AsyncIterable<Uint8Array>;
}

type Verdict = {
  readonly ok: true;
} | ({
  readonly ok: false;
} & Refusal);

type VerifyPolicy = "strict" | "fallback" | "none";

type WritableDiskFormat = ("raw" | "iso" | "ami" | "aki" | "ari") | ("qcow2" | "vhd" | "vpc" | "vhdx" | "vmdk" | "vdi" | "luks" | "ploop" | "parallels" | "qcow" | "qed");

interface WriteRight {
  readonly until: BigInt64Array<SharedArrayBuffer>;
  confirm(): Promise<void>;
}

export declare function adaptLogger(logger: Logger | undefined): Logger;

export declare function checkImageFormats(metadata: {
  readonly disk_format?: unknown;
  readonly container_format?: unknown;
}, taken?: ImageFormats): void;

export declare function checkImageId(imageId: unknown): asserts imageId is string;

export declare function fixupDiskFormat(diskFormat: string): string;

export declare function formatBytes(bytes: number): string;

export declare function formatNames(use: "read"): readonly DiskFormat[];

export declare function formatNames(use: "write"): readonly WritableDiskFormat[];

export declare function fromQemuFormat(format: string): string;

export declare const glanceFormats: ImageFormats;

export declare function httpStatusOf(error: unknown): number;

export declare function isSameFormat(one: string, other: string): boolean;

export declare function jsonDepth(text: string): number;

export declare function parseDiskFormat(name: string, use: "read"): DiskFormat;

export declare function parseDiskFormat(name: string, use: "write"): WritableDiskFormat;

export declare function printable(text: string, longest?: number): string;

export declare function printableAscii(text: string, longest: number): string;

export declare function printableJson(value: unknown, indent?: number): string;

export declare function printableLines(text: string): string;

export declare function recordProblem(record: unknown): string | undefined;

export declare function redact(text: string): string;

export declare const silentLogger: Logger;

export declare function toGlanceFormat(name: string): string;

export declare function toQemuFormat(name: string): string;

export type {
  ByteSink,
  CallOptions,
  CertificateSource,
  Checksum,
  Clock,
  Command,
  DetailOptions,
  Disk,
  DiskFormat,
  DiskReceiver,
  DownloadHash,
  DownloadOptions,
  DownloadReport,
  EncodedImage,
  Envelope,
  Extent,
  FormatUse,
  ImageDownloadFailedErrorInit,
  ImageErrorInit,
  ImageErrorKind,
  ImageFormats,
  ImageLocation,
  ImageMember,
  ImageMetadata,
  ImagePropertyValue,
  ImageRecord,
  ImageService,
  ImageSnapshot,
  ImageStore,
  ImageTooBigErrorInit,
  ImageUnacceptableErrorInit,
  InvalidErrorInit,
  Layout,
  Logger,
  OverlappedSink,
  ProcessEndReason,
  ProcessExecutionErrorInit,
  ProcessFileAccess,
  ProcessLimits,
  ProcessResult,
  ProcessRunner,
  Progress,
  ProgressListener,
  ProgressStage,
  QemuImgInfo,
  RandomAccessReader,
  Refusal,
  RequestContext,
  ResumePoint,
  RunOptions,
  Source,
  Target,
  TemporaryFileOptions,
  TemporaryFiles,
  TemporaryPath,
  UpdateOptions,
  UploadOptions,
  UploadSource,
  Verdict,
  VerifyPolicy,
  WritableDiskFormat,
  WriteRight,
};
