import {
  CallOptions,
  CertificateSource,
  Checksum,
  Clock,
  DiskFormat,
  DownloadHash,
  DownloadReport,
  ImageMetadata,
  ImageRecord,
  ImageService,
  Logger,
  ProcessRunner,
  Progress,
  QemuImgInfo,
  Refusal,
  RequestContext,
  Source,
  Target,
  TemporaryFileOptions,
  TemporaryFiles,
  TemporaryPath,
  VerifyPolicy,
  WritableDiskFormat,
} from "@disk-image/core";

import {
  Cipher,
  QemuImg,
} from "@disk-image/qemu-img";

import {
  DecodeWorkers,
  EncodeOptions,
  EncodeWorkers,
  EnvelopeName,
  OvaMachine,
  Ovf,
} from "@disk-image/disk";

import {
  FileHandle,
} from "node:fs/promises";

import {
  FormatPolicy,
  FormatPolicyOptions,
} from "@disk-image/format-policy";

import {
  GlanceClientOptions,
  GlanceImageServiceOptions,
} from "@disk-image/glance-client";

import {
  HttpSourceOptions,
  OciSourceOptions,
  S3SourceOptions,
} from "@disk-image/sources";

import {
  InspectionResult,
} from "@disk-image/format-policy/inspector";

type ArchiveToVolumesRequest = RequestedImage & Omit<ImageToVolumeOptions, "disk" | "target" | "volume" | "volumeSizeGiB"> & {
  readonly volumes: readonly Pick<ImageToVolumeOptions, "disk" | "target" | "volume" | "volumeSizeGiB">[];
};

type BlockSize = string | number;

interface CheckImageFileOptions {
  readonly diskFormat?: string | undefined;
  readonly imageId?: string | undefined;
}

interface CheckImageFormatOptions extends CallOptions {
  readonly srcFormat?: string | undefined;
  readonly imageId?: string | undefined;
  readonly data?: QemuImgInfo | undefined;
  readonly runAsRoot?: boolean | undefined;
}

interface CinderImageUtils {
  fixupDiskFormat(diskFormat: string): string;
  fromQemuImgDiskFormat(diskFormat: string): string;
  qemuImgInfo(path: string, options?: QemuImgInfoOptions): Promise<QemuImgInfo>;
  getImageFormat(path: string, options?: {
    readonly allowQcow2BackingFile?: boolean | undefined;
  }): Promise<string | undefined>;
  getQemuImgVersion(): Promise<number[] | undefined>;
  checkQemuImgVersion(minimumVersion: string): Promise<void>;
  convertImage(source: string, dest: string, outFormat: string, options?: ConvertImageOptions): Promise<void>;
  resizeImage(source: string, size: number, options?: CallOptions & {
    readonly runAsRoot?: boolean | undefined;
    readonly fileFormat?: string | undefined;
  }): Promise<void>;
  getQemuData(imageId: string, hasMeta: boolean, diskFormatRaw: boolean, dest: string, runAsRoot: boolean, options?: QemuDataOptions): Promise<QemuImgInfo | undefined>;
  checkQcow2Image(imageId: string, data: QemuImgInfo): void;
  checkVmdkImage(imageId: string, data: QemuImgInfo): void;
  checkImageFormat(source: string, options?: CheckImageFormatOptions): Promise<void>;
  checkImageConversionDisable(diskFormat: string, volumeFormat: string, imageId: string, options?: {
    readonly upload?: boolean | undefined;
  }): void;
  checkVirtualSize(virtualSize: number, volumeSize: number, imageId: string): number;
  checkAvailableSpace(dest: string, imageSize: number, imageId: string): Promise<void>;
  decodeCipher(cipherSpec: string, keySize: number): Cipher;
  isXenserverFormat(imageMeta: ImageMetadata): boolean;
  filterOutReservedNamespacesMetadata(metadata: Readonly<Record<string, unknown>>): Record<string, unknown>;
  fetch(context: RequestContext, imageService: ImageService | undefined, imageId: string, path: string, options?: FetchOptions): Promise<DownloadReport>;
  fetchVerifyImage(context: RequestContext, imageService: ImageService | undefined, imageId: string, dest: string, options?: FetchOptions): Promise<DownloadReport>;
  fetchToRaw(context: RequestContext, imageService: ImageService | undefined, imageId: string, dest: string, blocksize?: BlockSize, options?: Omit<FetchToVolumeOptions, "volumeSubformat">): Promise<void>;
  fetchToVhd(context: RequestContext, imageService: ImageService | undefined, imageId: string, dest: string, blocksize?: BlockSize, options?: FetchToVolumeOptions): Promise<void>;
  fetchToVolumeFormat(context: RequestContext, imageService: ImageService | undefined, imageId: string, dest: string, volumeFormat: string, blocksize?: BlockSize, options?: FetchToVolumeOptions): Promise<void>;
  uploadVolume(context: RequestContext, imageService: ImageService | undefined, imageMeta: TargetImage, volumePath: string, options?: UploadVolumeOptions): Promise<void>;
  validateStoresId(context: RequestContext, imageServiceStoreId: string, options?: CallOptions & {
    readonly imageService?: ImageService | undefined;
  }): Promise<void>;
  verifyGlanceImageSignature(context: RequestContext, imageService: ImageService | undefined, imageId: string, path: string, options?: CallOptions): Promise<boolean>;
  setVhdParent(vhdPath: string, parentPath: string): Promise<void>;
  coalesceVhd(vhdPath: string, options?: CallOptions): Promise<void>;
  getVhdSize(vhdPath: string): Promise<number>;
  resizeVhd(vhdPath: string, size: number, journal?: string, options?: CallOptions): Promise<void>;
  discoverVhdChain(directory: string): Promise<string[]>;
  fixVhdChain(vhdChain: readonly string[]): Promise<void>;
  coalesceChain(vhdChain: readonly string[], options?: CallOptions): Promise<string>;
  extractTargz(archiveName: string, target: string, options?: CallOptions): Promise<void>;
  replaceXenserverImageWithCoalescedVhd(imageFile: string, options?: CallOptions): Promise<void>;
  createTemporaryFile(options?: TemporaryFileOptions): Promise<string>;
  temporaryFile(options?: TemporaryFileOptions): Promise<TemporaryPath>;
  temporaryDir(options?: TemporaryFileOptions): Promise<TemporaryPath>;
  cleanupTemporaryFile(backendName: string): Promise<void>;
  chownIfNeeded(volumePath: string, options?: CallOptions): Promise<AsyncDisposable>;
  readonly TemporaryImages: {
    fetch(imageService: ImageService, context: RequestContext, imageId: string, options?: TemporaryImageOptions): Promise<TemporaryPath>;
    forImageService(imageService: ImageService): TemporaryImages;
  };
}

interface ConvertImageOptions extends CallOptions {
  readonly outSubformat?: string | undefined;
  readonly formatOptions?: FormatOptions | undefined;
  readonly srcFormat?: string | undefined;
  readonly runAsRoot?: boolean | undefined;
  readonly throttle?: Throttle | undefined;
  readonly cipherSpec?: Cipher | undefined;
  readonly passphraseFile?: string | undefined;
  readonly keyDerivationMs?: number | undefined;
  readonly compress?: boolean | undefined;
  readonly srcPassphraseFile?: string | undefined;
  readonly decrypt?: boolean | undefined;
  readonly siblings?: readonly string[] | undefined;
  readonly imageId?: string | undefined;
  readonly data?: QemuImgInfo | undefined;
  readonly disableSparse?: boolean | undefined;
  readonly target?: Target | undefined;
  readonly compression?: "zlib" | "zstd" | undefined;
}

interface DescribedSource {
  readonly stored: Source;
  readonly diskFormat?: string | undefined;
  readonly looksRaw?: boolean | undefined;
  readonly containerFormat?: string | undefined;
  readonly record?: ImageRecord | undefined;
}

type DestinationIdentifier = (destination: string) => Promise<DestinationIdentity>;

interface DestinationIdentity {
  readonly kind: "file" | "device" | "new" | "homeless" | "nodeless" | "other";
  readonly keys: readonly string[];
  readonly device: string;
}

interface FetchOptions extends CallOptions {
  readonly userId?: string | undefined;
  readonly projectId?: string | undefined;
  readonly verify?: VerifyPolicy | undefined;
  readonly connections?: number | undefined;
  readonly preferStores?: readonly string[] | undefined;
  readonly durable?: boolean | undefined;
}

type FetchTemporary = (imageService: ImageService, context: RequestContext, imageId: string, options: CallOptions & {
  readonly suffix: string;
}) => Promise<TemporaryPath>;

interface FetchToVolumeOptions extends CallOptions {
  readonly volumeSubformat?: string | undefined;
  readonly userId?: string | undefined;
  readonly projectId?: string | undefined;
  readonly size?: number | undefined;
  readonly runAsRoot?: boolean | undefined;
  readonly disableSparse?: boolean | undefined;
  readonly durable?: boolean | undefined;
  readonly verify?: VerifyPolicy | undefined;
  readonly verifyBeforeWrite?: boolean | undefined;
  readonly connections?: number | undefined;
  readonly preferStores?: readonly string[] | undefined;
}

type FormatOptions = Pick<EncodeOptions, "compressionLevel" | "qcow2" | "vmdk" | "vpc" | "vhdx" | "vdi">;

type FormatRules = Pick<FormatPolicyOptions, "allowedFormats" | "allowEncryption" | "allowInternalSnapshots" | "allowUnclean" | "maxRatio" | "maxVirtualSizeBytes">;

interface FoundFormat {
  readonly diskFormat: string;
  readonly containerFormat: string;
}

interface FoundImage extends FoundFormat {
  readonly suggested: ImageMetadata | undefined;
}

interface GlanceSettings extends Omit<GlanceClientOptions, "retries">, Omit<GlanceImageServiceOptions, "allowedDirectUrlSchemes"> {}

interface ImageToVolumeOptions extends CallOptions {
  readonly sourceFormat?: DiskFormat | undefined;
  readonly cache?: SourceCacheOptions | undefined;
  readonly context?: RequestContext | undefined;
  readonly imageService?: ImageService | undefined;
  readonly volume: string;
  readonly target?: Target | undefined;
  readonly disk?: string | undefined;
  readonly volumeFormat?: WritableDiskFormat | undefined;
  readonly volumeSubformat?: string | undefined;
  readonly formatOptions?: FormatOptions | undefined;
  readonly volumeSizeGiB?: number | undefined;
  readonly runAsRoot?: boolean | undefined;
  readonly disableSparse?: boolean | undefined;
  readonly durable?: boolean | undefined;
  readonly verify?: VerifyPolicy | undefined;
  readonly checksums?: readonly Checksum[] | undefined;
  readonly verifyBeforeWrite?: boolean | undefined;
  readonly connections?: number | undefined;
  readonly preferStores?: readonly string[] | undefined;
  readonly passphraseFile?: string | undefined;
  readonly cipherSpec?: Cipher | undefined;
  readonly keyDerivationMs?: number | undefined;
  readonly sourcePassphraseFile?: string | undefined;
  readonly decrypt?: boolean | undefined;
  readonly throttle?: Throttle | undefined;
}

interface ImageToVolumePlan {
  readonly imageId: string;
  readonly volume: string;
  readonly disk: string | undefined;
  readonly format: string | undefined;
  readonly volumeFormat: string;
  readonly steps: readonly string[];
  readonly needsQemuImg: boolean;
  readonly temporaryBytes: number;
  readonly volumeBytes: number | undefined;
  readonly freeTemporaryBytes: number;
  readonly freeVolumeBytes: number;
  readonly refusals: readonly Refusal[];
}

interface ImageToVolumeReport {
  readonly imageId: string;
  readonly volume: string;
  readonly format: string;
  readonly volumeFormat: string;
  readonly bytesDownloaded: number;
  readonly resumedBytes: number;
  readonly bytesWritten: number;
  readonly virtualSizeBytes: number;
  readonly hash: DownloadHash | undefined;
  readonly verified: readonly Checksum[];
  readonly signatureVerified: boolean;
  readonly warnings: readonly Refusal[];
  readonly unwrapped: Unwrapped | undefined;
  readonly resumes: number;
  readonly durationSeconds: {
    readonly download: number;
    readonly convert: number;
    readonly total: number;
  };
}

type ImageToVolumeRequest = RequestedImage & ImageToVolumeOptions;

interface ImageUtils extends CinderImageUtils {
  readonly options: ResolvedOptions;
  readonly imageService: ImageService | undefined;
  imageToVolume(request: ImageToVolumeRequest): Promise<ImageToVolumeReport>;
  archiveToVolumes(request: ArchiveToVolumesRequest): Promise<ImageToVolumeReport[]>;
  planImageToVolume(request: ImageToVolumeRequest): Promise<ImageToVolumePlan>;
  planArchiveToVolumes(request: ArchiveToVolumesRequest): Promise<ImageToVolumePlan[]>;
  openSource(word: string, options?: OpenSourceOptions): Promise<OpenedSource>;
  inspectInside(source: DescribedSource): InsideInspector | undefined;
  volumeToImage(request: VolumeToImageRequest): Promise<VolumeToImageReport>;
  convertImage(source: string, destination: string, outFormat: WritableDiskFormat, options?: ConvertImageOptions & {
    readonly srcFormat?: DiskFormat | undefined;
  }): Promise<void>;
  volumesToArchive(request: VolumesToArchiveRequest): Promise<VolumesToArchiveReport>;
  sourceToImage(request: SourceToImageRequest): Promise<SourceToImageReport>;
  verifyVolume(request: VerifyVolumeRequest): Promise<VerifyVolumeReport>;
  verifyVolumeChecksums(request: VerifyVolumeChecksumsRequest): Promise<VerifyVolumeChecksumsReport>;
  streamToImage(request: StreamToImageRequest): Promise<SourceToImageReport>;
  checkImageFile(path: string, options?: CheckImageFileOptions): Promise<string>;
  cleanTemporaryFiles(): Promise<{
    readonly path: string;
    readonly sizeBytes: number;
  }[]>;
}

interface ImageUtilsDependencies {
  readonly runner?: ProcessRunner | undefined;
  readonly logger?: Logger | undefined;
  readonly clock?: Clock | undefined;
  readonly imageService?: ImageService | undefined;
  readonly glance?: GlanceSettings | undefined;
  readonly certificates?: CertificateSource | undefined;
  readonly throttle?: Throttle | undefined;
  readonly network?: NetworkOptions | ((word: string) => NetworkOptions | Promise<NetworkOptions>) | undefined;
  readonly telemetry?: Telemetry | undefined;
}

interface ImageUtilsOptions {
  readonly imageConversionDir?: string | undefined;
  readonly imageCompressOnUpload?: boolean | undefined;
  readonly imageConversionCpuLimitSeconds?: number | undefined;
  readonly imageConversionAddressSpaceLimitGiB?: number | undefined;
  readonly imageConversionDisable?: boolean | undefined;
  readonly vmdkAllowedTypes?: readonly string[] | undefined;
  readonly reservedImageNamespaces?: readonly string[] | undefined;
  readonly allowCompressionOnImageUpload?: boolean | undefined;
  readonly compressionFormat?: "gzip" | undefined;
  readonly verifyGlanceSignatures?: "enabled" | "disabled" | undefined;
  readonly allowedDirectUrlSchemes?: readonly string[] | undefined;
  readonly glanceNumRetries?: number | undefined;
  readonly allowArchivesAsRaw?: boolean | undefined;
  readonly formatRules?: FormatRules | undefined;
  readonly rootHelper?: readonly string[] | undefined;
  readonly sandbox?: SandboxMode | undefined;
}

declare class InsideInspector implements AsyncDisposable {
  #private;
  constructor(services: Services, imageId: string, container: "compressed" | "archive" | "containerdisk");
  get isDone(): boolean;
  passOver(): number;
  write(chunk: Uint8Array): Promise<void>;
  end(isWhole: boolean): Promise<InsideReport>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface InsideReport {
  readonly opened: readonly EnvelopeName[];
  readonly disks: readonly {
    readonly name: string | undefined;
    readonly inspection: InspectionResult | undefined;
    readonly isWhole: boolean;
  }[];
  readonly unseen: readonly string[];
  readonly problem: Pick<Refusal, "rule" | "reason"> | undefined;
}

interface NetworkOptions {
  readonly url?: HttpSourceOptions | undefined;
  readonly oci?: OciSourceOptions | undefined;
  readonly s3?: S3SourceOptions | undefined;
}

interface OpenSourceOptions extends CallOptions {
  readonly context?: RequestContext | undefined;
  readonly imageService?: ImageService | (() => Promise<ImageService>) | undefined;
  readonly bare?: "image" | "file" | undefined;
  readonly workingDirectory?: string | undefined;
  readonly standardInput?: (() => AsyncIterable<Uint8Array>) | undefined;
  readonly diskFormat?: DiskFormat | undefined;
  readonly network?: NetworkOptions | undefined;
}

interface OpenedSource extends DescribedSource, AsyncDisposable {
  readonly name: string;
  readonly kind: Word["kind"];
  close(): Promise<void>;
}

interface Operation {
  stage<Result>(stage: string, run: () => Promise<Result>): Promise<Result>;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  note(facts: OperationFacts): void;
}

interface OperationFacts {
  readonly format?: string | undefined;
  readonly volumeFormat?: string | undefined;
  readonly bytesDownloaded?: number | undefined;
  readonly bytesWritten?: number | undefined;
  readonly bytesUploaded?: number | undefined;
  readonly virtualSizeBytes?: number | undefined;
  readonly resumes?: number | undefined;
  readonly signatureVerified?: boolean | undefined;
}

type OperationName = "image_to_volume" | "volume_to_image" | "fetch" | "convert" | "verify";

interface QemuDataOptions extends CallOptions {
  readonly forceShare?: boolean | undefined;
}

interface QemuImgInfoOptions extends CallOptions {
  readonly runAsRoot?: boolean | undefined;
  readonly forceShare?: boolean | undefined;
  readonly allowQcow2BackingFile?: boolean | undefined;
  readonly imgFormat?: string | undefined;
}

type RemoteScheme = "https" | "http" | "s3" | "oci";

type RequestedImage = {
  readonly imageId: string;
  readonly source?: DescribedSource | string | undefined;
} | {
  readonly imageId?: string | undefined;
  readonly source: DescribedSource | string;
};

type ResolvedOptions = { readonly [Name in keyof ImageUtilsOptions]-?: NonNullable<ImageUtilsOptions[Name]>; };

type SandboxMode = "auto" | "require" | "off";

interface Services {
  readonly options: ResolvedOptions;
  readonly runner: ProcessRunner;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly imageService: ImageService | undefined;
  readonly certificates: CertificateSource | undefined;
  readonly throttle: Throttle;
  readonly network: ImageUtilsDependencies["network"];
  readonly telemetry: Telemetry;
  readonly temporaryFiles: TemporaryFiles;
  readonly qemuImg: QemuImg;
  readonly decodeWorkers: DecodeWorkers;
  readonly encodeWorkers: EncodeWorkers;
  readonly policy: FormatPolicy;
  readonly temporaryImages: TemporaryImagesByService;
}

interface SourceCacheOptions {
  readonly directory: string;
  readonly maxBytes: number;
}

interface SourceToImageReport extends FoundFormat {
  readonly imageId: string;
  readonly source: string;
  readonly bytesUploaded: number;
  readonly hash: DownloadHash | undefined;
  readonly verified: readonly Checksum[];
  readonly unwrapped?: Unwrapped | undefined;
  readonly image: ImageRecord;
  readonly warnings: readonly Refusal[];
  readonly durationSeconds: {
    readonly total: number;
  };
}

interface SourceToImageRequest extends CallOptions {
  readonly context?: RequestContext | undefined;
  readonly imageService?: ImageService | undefined;
  readonly source: DescribedSource | string;
  readonly image: TargetImage | ((found: FoundImage) => Promise<TargetImage>);
  readonly diskFormat?: string | undefined;
  readonly containerFormat?: string | undefined;
  readonly disk?: string | undefined;
  readonly inspect?: boolean | undefined;
  readonly checksums?: readonly Checksum[] | undefined;
  readonly verify?: VerifyPolicy | undefined;
  readonly verifyUpload?: VerifyPolicy | undefined;
  readonly connections?: number | undefined;
  readonly storeId?: string | undefined;
  readonly baseImageRef?: string | undefined;
  readonly throttle?: Throttle | undefined;
}

interface StreamToImageRequest extends CallOptions {
  readonly context?: RequestContext | undefined;
  readonly imageService?: ImageService | undefined;
  readonly body: AsyncIterable<Uint8Array>;
  readonly sizeBytes?: number | undefined;
  readonly name: string;
  readonly metadata?: ImageMetadata | undefined;
  readonly diskFormat?: DiskFormat | undefined;
  readonly disk?: string | undefined;
  readonly checksums?: readonly Checksum[] | undefined;
  readonly verifyUpload?: VerifyPolicy | undefined;
  readonly storeId?: string | undefined;
  readonly throttle?: Throttle | undefined;
}

type TargetImage = Partial<Omit<ImageRecord, "id">> & {
  readonly id: string;
};

interface Telemetry {
  operation<Result>(name: OperationName, signal: AbortSignal | undefined, run: (operation: Operation) => Promise<Result>): Promise<Result>;
}

interface TemporaryImageOptions extends CallOptions {
  readonly suffix?: string | undefined;
}

declare class TemporaryImages {
  #private;
  constructor(fetch: FetchTemporary);
  get(context: RequestContext, imageId: string): string | undefined;
  fetch(imageService: ImageService, context: RequestContext, imageId: string, options?: TemporaryImageOptions): Promise<TemporaryPath>;
}

declare class TemporaryImagesByService {
  #private;
  constructor(fetch: FetchTemporary);
  forImageService(imageService: ImageService): TemporaryImages;
}

interface Throttle {
  readonly prefix?: readonly string[] | undefined;
  readonly rateBytesPerSecond?: number | undefined;
}

interface Transfer {
  readonly request: ImageToVolumeRequest;
  readonly state: TransferState;
  readonly outcome: Promise<TransferOutcome>;
  cancel(reason?: unknown): void;
}

type TransferOutcome = {
  readonly state: "done";
  readonly report: TransferReport;
} | {
  readonly state: "failed";
  readonly error: unknown;
} | {
  readonly state: "cancelled";
  readonly reason: unknown;
};

interface TransferQueue extends AsyncDisposable {
  add(request: ImageToVolumeRequest): Transfer;
  cancel(reason?: unknown): void;
  finished(): Promise<TransferSummary>;
}

interface TransferQueueDependencies {
  readonly imageUtils: Pick<ImageUtils, "imageToVolume" | "openSource" | "options" | "TemporaryImages">;
  readonly imageService?: ImageService | undefined;
}

interface TransferQueueOptions {
  readonly jobs?: number | undefined;
  readonly jobsPerDevice?: number | undefined;
  readonly bytesInFlight?: number | undefined;
  readonly stopOnFailure?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onChange?: ((transfer: Transfer) => void) | undefined;
}

interface TransferReport extends ImageToVolumeReport {
  readonly shared: boolean;
}

type TransferState = "waiting" | "running" | "done" | "failed" | "cancelled";

interface TransferSummary {
  readonly done: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly bytesDownloaded: number;
  readonly bytesWritten: number;
}

interface Unwrapped {
  readonly opened: readonly EnvelopeName[];
  readonly disk: string | undefined;
  readonly machine: Ovf | undefined;
  readonly hasManifest: boolean;
}

interface UploadVolumeOptions extends CallOptions {
  readonly volumeFd?: FileHandle | undefined;
  readonly volumeFormat?: string | undefined;
  readonly runAsRoot?: boolean | undefined;
  readonly compress?: boolean | undefined;
  readonly storeId?: string | undefined;
  readonly baseImageRef?: string | undefined;
}

interface VerifyVolumeChecksumsReport {
  readonly volume: string;
  readonly identical: boolean;
  readonly volumeFormat: string;
  readonly sizeBytes: number;
  readonly found: readonly Checksum[];
}

interface VerifyVolumeChecksumsRequest extends CallOptions {
  readonly volume: string;
  readonly volumeFormat?: DiskFormat | undefined;
  readonly checksums: readonly Checksum[];
  readonly sizeBytes?: number | undefined;
}

interface VerifyVolumeReport {
  readonly imageId: string;
  readonly volume: string;
  readonly identical: boolean;
  readonly differsAt: number | undefined;
  readonly volumeFormat: string;
  readonly volumeBytes: number;
  readonly imageBytes: number | undefined;
  readonly hash: DownloadHash | undefined;
  readonly warnings: readonly Refusal[];
}

type VerifyVolumeRequest = RequestedImage & Pick<ImageToVolumeOptions, "cache" | "checksums" | "connections" | "context" | "decrypt" | "disk" | "imageService" | "onProgress" | "preferStores" | "signal" | "sourceFormat" | "sourcePassphraseFile" | "throttle" | "verify"> & {
  readonly volume: string;
  readonly volumeFormat?: DiskFormat | undefined;
};

interface VolumeToImageReport {
  readonly imageId: string;
  readonly volume: string;
  readonly diskFormat: string;
  readonly containerFormat: string;
  readonly bytesUploaded: number;
  readonly image: ImageRecord;
  readonly warnings: readonly Refusal[];
  readonly durationSeconds: {
    readonly convert: number;
    readonly upload: number;
    readonly total: number;
  };
}

interface VolumeToImageRequest extends CallOptions {
  readonly context?: RequestContext | undefined;
  readonly imageService?: ImageService | undefined;
  readonly image: TargetImage;
  readonly volume: string;
  readonly volumeFd?: FileHandle | undefined;
  readonly volumeFormat?: DiskFormat | undefined;
  readonly runAsRoot?: boolean | undefined;
  readonly compression?: "none" | "zlib" | "zstd" | undefined;
  readonly diskSubformat?: string | undefined;
  readonly formatOptions?: FormatOptions | undefined;
  readonly storeId?: string | undefined;
  readonly baseImageRef?: string | undefined;
  readonly verify?: VerifyPolicy | undefined;
  readonly throttle?: Throttle | undefined;
}

interface VolumesToArchiveReport {
  readonly destination: string;
  readonly bytesWritten: number;
  readonly disks: readonly {
    readonly volume: string;
    readonly name: string;
    readonly format: string;
    readonly virtualSizeBytes: number;
  }[];
}

interface VolumesToArchiveRequest extends CallOptions {
  readonly disks: readonly {
    readonly volume: string;
    readonly volumeFormat: DiskFormat;
    readonly name?: string | undefined;
  }[];
  readonly machine: OvaMachine;
  readonly destination: string;
  readonly target?: Target | undefined;
  readonly durable?: boolean | undefined;
  readonly throttle?: Throttle | undefined;
}

type Word = {
  readonly kind: "image";
  readonly name: string;
  readonly isId: boolean;
} | {
  readonly kind: "file";
  readonly path: string;
} | {
  readonly kind: "standard-input";
} | {
  readonly kind: "remote";
  readonly scheme: RemoteScheme;
  readonly reference: string;
};

export declare function createDestinationIdentifier(options?: {
  readonly rememberFolders?: boolean;
}): DestinationIdentifier;

export declare function createTransferQueue(dependencies: TransferQueueDependencies, options?: TransferQueueOptions): TransferQueue;

export declare function identifyDestination(destination: string): Promise<DestinationIdentity>;

export declare const transferMemoryBytes: number;

export type {
  DestinationIdentifier,
  DestinationIdentity,
  Transfer,
  TransferOutcome,
  TransferQueue,
  TransferQueueDependencies,
  TransferQueueOptions,
  TransferReport,
  TransferState,
  TransferSummary,
};
