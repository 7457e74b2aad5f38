import {
  ByteSink,
  CallOptions,
  CallOptions as CallOptions$1,
  CertificateSource,
  CertificateSource as CertificateSource$1,
  Checksum,
  Clock,
  Clock as Clock$1,
  DiskFormat,
  DiskFormat as DiskFormat$1,
  DownloadHash,
  DownloadOptions,
  DownloadReport,
  DownloadReport as DownloadReport$1,
  ImageDownloadFailedError,
  ImageError,
  ImageErrorKind,
  ImageMetadata,
  ImageMetadata as ImageMetadata$1,
  ImageNotAuthorizedError,
  ImageNotFoundError,
  ImageRecord,
  ImageRecord as ImageRecord$1,
  ImageService,
  ImageService as ImageService$1,
  ImageTooBigError,
  ImageUnacceptableError,
  InvalidError,
  InvalidError as InvalidError$1,
  Logger,
  Logger as Logger$1,
  NotSupportedOperationError,
  ProcessExecutionError,
  ProcessRunner,
  ProcessRunner as ProcessRunner$1,
  Progress,
  Progress as Progress$1,
  ProgressListener,
  QemuImgInfo,
  QemuImgInfo as QemuImgInfo$1,
  RandomAccessReader,
  Refusal,
  Refusal as Refusal$1,
  RequestContext,
  RequestContext as RequestContext$1,
  Source,
  Target,
  TemporaryFileOptions,
  TemporaryFiles,
  TemporaryPath,
  TemporaryPath as TemporaryPath$1,
  UploadOptions,
  UploadSource,
  VerifyPolicy,
  VerifyPolicy as VerifyPolicy$1,
  WritableDiskFormat,
  WritableDiskFormat as WritableDiskFormat$1,
  httpStatusOf,
  parseDiskFormat,
} from "@disk-image/core";

import {
  Cipher,
  Cipher as Cipher$1,
  InvalidVolumeTypeError,
  QemuImg,
  VolumeBackendError,
} from "@disk-image/qemu-img";

import {
  DecodeWorkers,
  EncodeOptions,
  EncodeWorkers,
  EnvelopeName,
  OvaController,
  OvaMachine,
  OvaMachine as OvaMachine$1,
  Ovf,
  machineOfProperties,
} from "@disk-image/disk";

import {
  FileHandle,
} from "node:fs/promises";

import {
  FormatPolicy,
  FormatPolicyOptions,
  ImageConversionNotAllowedError,
} from "@disk-image/format-policy";

import {
  GlanceClientOptions,
  GlanceConnectionFailedError,
  GlanceImageServiceOptions,
  GlanceStoreNotFoundError,
  GlanceStoreReadOnlyError,
  ImageLimitExceededError,
  createGlanceImageService,
} from "@disk-image/glance-client";

import {
  HttpSourceOptions,
  OciSourceOptions,
  S3SourceOptions,
} from "@disk-image/sources";

import {
  ImageSignatureVerificationError,
  InvalidSignatureImageError,
} from "@disk-image/glance-client/signature";

import {
  InspectionResult,
} from "@disk-image/format-policy/inspector";

import {
  VhdError,
  XenserverArchiveError,
} from "@disk-image/vhd";

import {
  VolumeAccessError,
} from "@disk-image/host";

export declare class AmbiguousImageNameError extends InvalidError$1 {
  override readonly code = "AMBIGUOUS_IMAGE_NAME";
  readonly imageName: string;
  readonly candidates: readonly ImageCandidate[];
  constructor(imageName: string, candidates: readonly ImageCandidate[]);
}

type ArchiveToVolumesRequest = RequestedImage & Omit<ImageToVolumeOptions, "disk" | "target" | "volume" | "volumeSizeGiB"> & {
  readonly volumes: readonly Pick<ImageToVolumeOptions, "disk" | "target" | "volume" | "volumeSizeGiB">[];
};

type BlockSize = string | number;

interface CheckImageFileOptions {
  readonly diskFormat?: string | undefined;
  readonly imageId?: string | undefined;
}

interface CheckImageFormatOptions extends CallOptions$1 {
  readonly srcFormat?: string | undefined;
  readonly imageId?: string | undefined;
  readonly data?: QemuImgInfo$1 | undefined;
  readonly runAsRoot?: boolean | undefined;
}

interface CinderImageUtils {
  fixupDiskFormat(diskFormat: string): string;
  fromQemuImgDiskFormat(diskFormat: string): string;
  qemuImgInfo(path: string, options?: QemuImgInfoOptions): Promise<QemuImgInfo$1>;
  getImageFormat(path: string, options?: {
    readonly allowQcow2BackingFile?: boolean | undefined;
  }): Promise<string | undefined>;
  getQemuImgVersion(): Promise<number[] | undefined>;
  checkQemuImgVersion(minimumVersion: string): Promise<void>;
  convertImage(source: string, dest: string, outFormat: string, options?: ConvertImageOptions): Promise<void>;
  resizeImage(source: string, size: number, options?: CallOptions$1 & {
    readonly runAsRoot?: boolean | undefined;
    readonly fileFormat?: string | undefined;
  }): Promise<void>;
  getQemuData(imageId: string, hasMeta: boolean, diskFormatRaw: boolean, dest: string, runAsRoot: boolean, options?: QemuDataOptions): Promise<QemuImgInfo$1 | undefined>;
  checkQcow2Image(imageId: string, data: QemuImgInfo$1): void;
  checkVmdkImage(imageId: string, data: QemuImgInfo$1): void;
  checkImageFormat(source: string, options?: CheckImageFormatOptions): Promise<void>;
  checkImageConversionDisable(diskFormat: string, volumeFormat: string, imageId: string, options?: {
    readonly upload?: boolean | undefined;
  }): void;
  checkVirtualSize(virtualSize: number, volumeSize: number, imageId: string): number;
  checkAvailableSpace(dest: string, imageSize: number, imageId: string): Promise<void>;
  decodeCipher(cipherSpec: string, keySize: number): Cipher$1;
  isXenserverFormat(imageMeta: ImageMetadata$1): boolean;
  filterOutReservedNamespacesMetadata(metadata: Readonly<Record<string, unknown>>): Record<string, unknown>;
  fetch(context: RequestContext$1, imageService: ImageService$1 | undefined, imageId: string, path: string, options?: FetchOptions): Promise<DownloadReport$1>;
  fetchVerifyImage(context: RequestContext$1, imageService: ImageService$1 | undefined, imageId: string, dest: string, options?: FetchOptions): Promise<DownloadReport$1>;
  fetchToRaw(context: RequestContext$1, imageService: ImageService$1 | undefined, imageId: string, dest: string, blocksize?: BlockSize, options?: Omit<FetchToVolumeOptions, "volumeSubformat">): Promise<void>;
  fetchToVhd(context: RequestContext$1, imageService: ImageService$1 | undefined, imageId: string, dest: string, blocksize?: BlockSize, options?: FetchToVolumeOptions): Promise<void>;
  fetchToVolumeFormat(context: RequestContext$1, imageService: ImageService$1 | undefined, imageId: string, dest: string, volumeFormat: string, blocksize?: BlockSize, options?: FetchToVolumeOptions): Promise<void>;
  uploadVolume(context: RequestContext$1, imageService: ImageService$1 | undefined, imageMeta: TargetImage, volumePath: string, options?: UploadVolumeOptions): Promise<void>;
  validateStoresId(context: RequestContext$1, imageServiceStoreId: string, options?: CallOptions$1 & {
    readonly imageService?: ImageService$1 | undefined;
  }): Promise<void>;
  verifyGlanceImageSignature(context: RequestContext$1, imageService: ImageService$1 | undefined, imageId: string, path: string, options?: CallOptions$1): Promise<boolean>;
  setVhdParent(vhdPath: string, parentPath: string): Promise<void>;
  coalesceVhd(vhdPath: string, options?: CallOptions$1): Promise<void>;
  getVhdSize(vhdPath: string): Promise<number>;
  resizeVhd(vhdPath: string, size: number, journal?: string, options?: CallOptions$1): Promise<void>;
  discoverVhdChain(directory: string): Promise<string[]>;
  fixVhdChain(vhdChain: readonly string[]): Promise<void>;
  coalesceChain(vhdChain: readonly string[], options?: CallOptions$1): Promise<string>;
  extractTargz(archiveName: string, target: string, options?: CallOptions$1): Promise<void>;
  replaceXenserverImageWithCoalescedVhd(imageFile: string, options?: CallOptions$1): Promise<void>;
  createTemporaryFile(options?: TemporaryFileOptions): Promise<string>;
  temporaryFile(options?: TemporaryFileOptions): Promise<TemporaryPath$1>;
  temporaryDir(options?: TemporaryFileOptions): Promise<TemporaryPath$1>;
  cleanupTemporaryFile(backendName: string): Promise<void>;
  chownIfNeeded(volumePath: string, options?: CallOptions$1): Promise<AsyncDisposable>;
  readonly TemporaryImages: {
    fetch(imageService: ImageService$1, context: RequestContext$1, imageId: string, options?: TemporaryImageOptions): Promise<TemporaryPath$1>;
    forImageService(imageService: ImageService$1): TemporaryImages;
  };
}

interface ConvertImageOptions extends CallOptions$1 {
  readonly outSubformat?: string | undefined;
  readonly formatOptions?: FormatOptions | undefined;
  readonly srcFormat?: string | undefined;
  readonly runAsRoot?: boolean | undefined;
  readonly throttle?: Throttle | undefined;
  readonly cipherSpec?: Cipher$1 | undefined;
  readonly passphraseFile?: string | undefined;
  readonly keyDerivationMs?: number | undefined;
  readonly compress?: boolean | undefined;
  readonly srcPassphraseFile?: string | undefined;
  readonly decrypt?: boolean | undefined;
  readonly siblings?: readonly string[] | undefined;
  readonly imageId?: string | undefined;
  readonly data?: QemuImgInfo$1 | undefined;
  readonly disableSparse?: boolean | undefined;
  readonly target?: Target | undefined;
  readonly compression?: "zlib" | "zstd" | undefined;
}

interface DescribedSource {
  readonly stored: Source;
  readonly diskFormat?: string | undefined;
  readonly looksRaw?: boolean | undefined;
  readonly containerFormat?: string | undefined;
  readonly record?: ImageRecord$1 | undefined;
}

interface DirectoryImageServiceOptions {
  readonly directory: string;
  readonly logger?: Logger$1 | undefined;
}

interface FetchOptions extends CallOptions$1 {
  readonly userId?: string | undefined;
  readonly projectId?: string | undefined;
  readonly verify?: VerifyPolicy$1 | undefined;
  readonly connections?: number | undefined;
  readonly preferStores?: readonly string[] | undefined;
  readonly durable?: boolean | undefined;
}

type FetchTemporary = (imageService: ImageService$1, context: RequestContext$1, imageId: string, options: CallOptions$1 & {
  readonly suffix: string;
}) => Promise<TemporaryPath$1>;

interface FetchToVolumeOptions extends CallOptions$1 {
  readonly volumeSubformat?: string | undefined;
  readonly userId?: string | undefined;
  readonly projectId?: string | undefined;
  readonly size?: number | undefined;
  readonly runAsRoot?: boolean | undefined;
  readonly disableSparse?: boolean | undefined;
  readonly durable?: boolean | undefined;
  readonly verify?: VerifyPolicy$1 | undefined;
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
  readonly suggested: ImageMetadata$1 | undefined;
}

interface GlanceSettings extends Omit<GlanceClientOptions, "retries">, Omit<GlanceImageServiceOptions, "allowedDirectUrlSchemes"> {}

interface ImageCandidate {
  readonly id: string;
  readonly createdAt: string | undefined;
  readonly sizeBytes: number | undefined;
}

interface ImageToVolumeOptions extends CallOptions$1 {
  readonly sourceFormat?: DiskFormat$1 | undefined;
  readonly cache?: SourceCacheOptions | undefined;
  readonly context?: RequestContext$1 | undefined;
  readonly imageService?: ImageService$1 | undefined;
  readonly volume: string;
  readonly target?: Target | undefined;
  readonly disk?: string | undefined;
  readonly volumeFormat?: WritableDiskFormat$1 | undefined;
  readonly volumeSubformat?: string | undefined;
  readonly formatOptions?: FormatOptions | undefined;
  readonly volumeSizeGiB?: number | undefined;
  readonly runAsRoot?: boolean | undefined;
  readonly disableSparse?: boolean | undefined;
  readonly durable?: boolean | undefined;
  readonly verify?: VerifyPolicy$1 | undefined;
  readonly checksums?: readonly Checksum[] | undefined;
  readonly verifyBeforeWrite?: boolean | undefined;
  readonly connections?: number | undefined;
  readonly preferStores?: readonly string[] | undefined;
  readonly passphraseFile?: string | undefined;
  readonly cipherSpec?: Cipher$1 | undefined;
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
  readonly refusals: readonly Refusal$1[];
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
  readonly warnings: readonly Refusal$1[];
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
  readonly imageService: ImageService$1 | undefined;
  imageToVolume(request: ImageToVolumeRequest): Promise<ImageToVolumeReport>;
  archiveToVolumes(request: ArchiveToVolumesRequest): Promise<ImageToVolumeReport[]>;
  planImageToVolume(request: ImageToVolumeRequest): Promise<ImageToVolumePlan>;
  planArchiveToVolumes(request: ArchiveToVolumesRequest): Promise<ImageToVolumePlan[]>;
  openSource(word: string, options?: OpenSourceOptions): Promise<OpenedSource>;
  inspectInside(source: DescribedSource): InsideInspector | undefined;
  volumeToImage(request: VolumeToImageRequest): Promise<VolumeToImageReport>;
  convertImage(source: string, destination: string, outFormat: WritableDiskFormat$1, options?: ConvertImageOptions & {
    readonly srcFormat?: DiskFormat$1 | undefined;
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
  readonly runner?: ProcessRunner$1 | undefined;
  readonly logger?: Logger$1 | undefined;
  readonly clock?: Clock$1 | undefined;
  readonly imageService?: ImageService$1 | undefined;
  readonly glance?: GlanceSettings | undefined;
  readonly certificates?: CertificateSource$1 | undefined;
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
  readonly problem: Pick<Refusal$1, "rule" | "reason"> | undefined;
}

interface NetworkOptions {
  readonly url?: HttpSourceOptions | undefined;
  readonly oci?: OciSourceOptions | undefined;
  readonly s3?: S3SourceOptions | undefined;
}

interface OpenSourceOptions extends CallOptions$1 {
  readonly context?: RequestContext$1 | undefined;
  readonly imageService?: ImageService$1 | (() => Promise<ImageService$1>) | undefined;
  readonly bare?: "image" | "file" | undefined;
  readonly workingDirectory?: string | undefined;
  readonly standardInput?: (() => AsyncIterable<Uint8Array>) | undefined;
  readonly diskFormat?: DiskFormat$1 | undefined;
  readonly network?: NetworkOptions | undefined;
}

interface OpenedSource extends DescribedSource, AsyncDisposable {
  readonly name: string;
  readonly kind: Word["kind"];
  close(): Promise<void>;
}

interface Operation {
  stage<Result>(stage: string, run: () => Promise<Result>): Promise<Result>;
  readonly onProgress?: ((progress: Progress$1) => void) | undefined;
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

interface QemuDataOptions extends CallOptions$1 {
  readonly forceShare?: boolean | undefined;
}

interface QemuImgInfoOptions extends CallOptions$1 {
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

interface ResizeImageOptions extends CallOptions$1 {
  readonly runAsRoot?: boolean | undefined;
  readonly fileFormat?: string | undefined;
}

type ResolvedOptions = { readonly [Name in keyof ImageUtilsOptions]-?: NonNullable<ImageUtilsOptions[Name]>; };

type SandboxMode = "auto" | "require" | "off";

interface Services {
  readonly options: ResolvedOptions;
  readonly runner: ProcessRunner$1;
  readonly logger: Logger$1;
  readonly clock: Clock$1;
  readonly imageService: ImageService$1 | undefined;
  readonly certificates: CertificateSource$1 | undefined;
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
  readonly image: ImageRecord$1;
  readonly warnings: readonly Refusal$1[];
  readonly durationSeconds: {
    readonly total: number;
  };
}

interface SourceToImageRequest extends CallOptions$1 {
  readonly context?: RequestContext$1 | undefined;
  readonly imageService?: ImageService$1 | undefined;
  readonly source: DescribedSource | string;
  readonly image: TargetImage | ((found: FoundImage) => Promise<TargetImage>);
  readonly diskFormat?: string | undefined;
  readonly containerFormat?: string | undefined;
  readonly disk?: string | undefined;
  readonly inspect?: boolean | undefined;
  readonly checksums?: readonly Checksum[] | undefined;
  readonly verify?: VerifyPolicy$1 | undefined;
  readonly verifyUpload?: VerifyPolicy$1 | undefined;
  readonly connections?: number | undefined;
  readonly storeId?: string | undefined;
  readonly baseImageRef?: string | undefined;
  readonly throttle?: Throttle | undefined;
}

interface StreamToImageRequest extends CallOptions$1 {
  readonly context?: RequestContext$1 | undefined;
  readonly imageService?: ImageService$1 | undefined;
  readonly body: AsyncIterable<Uint8Array>;
  readonly sizeBytes?: number | undefined;
  readonly name: string;
  readonly metadata?: ImageMetadata$1 | undefined;
  readonly diskFormat?: DiskFormat$1 | undefined;
  readonly disk?: string | undefined;
  readonly checksums?: readonly Checksum[] | undefined;
  readonly verifyUpload?: VerifyPolicy$1 | undefined;
  readonly storeId?: string | undefined;
  readonly throttle?: Throttle | undefined;
}

type TargetImage = Partial<Omit<ImageRecord$1, "id">> & {
  readonly id: string;
};

interface Telemetry {
  operation<Result>(name: OperationName, signal: AbortSignal | undefined, run: (operation: Operation) => Promise<Result>): Promise<Result>;
}

interface TemporaryImageOptions extends CallOptions$1 {
  readonly suffix?: string | undefined;
}

declare class TemporaryImages {
  #private;
  constructor(fetch: FetchTemporary);
  get(context: RequestContext$1, imageId: string): string | undefined;
  fetch(imageService: ImageService$1, context: RequestContext$1, imageId: string, options?: TemporaryImageOptions): Promise<TemporaryPath$1>;
}

declare class TemporaryImagesByService {
  #private;
  constructor(fetch: FetchTemporary);
  forImageService(imageService: ImageService$1): TemporaryImages;
}

interface Throttle {
  readonly prefix?: readonly string[] | undefined;
  readonly rateBytesPerSecond?: number | undefined;
}

interface Unwrapped {
  readonly opened: readonly EnvelopeName[];
  readonly disk: string | undefined;
  readonly machine: Ovf | undefined;
  readonly hasManifest: boolean;
}

interface UploadVolumeOptions extends CallOptions$1 {
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

interface VerifyVolumeChecksumsRequest extends CallOptions$1 {
  readonly volume: string;
  readonly volumeFormat?: DiskFormat$1 | undefined;
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
  readonly warnings: readonly Refusal$1[];
}

type VerifyVolumeRequest = RequestedImage & Pick<ImageToVolumeOptions, "cache" | "checksums" | "connections" | "context" | "decrypt" | "disk" | "imageService" | "onProgress" | "preferStores" | "signal" | "sourceFormat" | "sourcePassphraseFile" | "throttle" | "verify"> & {
  readonly volume: string;
  readonly volumeFormat?: DiskFormat$1 | undefined;
};

interface VolumeToImageReport {
  readonly imageId: string;
  readonly volume: string;
  readonly diskFormat: string;
  readonly containerFormat: string;
  readonly bytesUploaded: number;
  readonly image: ImageRecord$1;
  readonly warnings: readonly Refusal$1[];
  readonly durationSeconds: {
    readonly convert: number;
    readonly upload: number;
    readonly total: number;
  };
}

interface VolumeToImageRequest extends CallOptions$1 {
  readonly context?: RequestContext$1 | undefined;
  readonly imageService?: ImageService$1 | undefined;
  readonly image: TargetImage;
  readonly volume: string;
  readonly volumeFd?: FileHandle | undefined;
  readonly volumeFormat?: DiskFormat$1 | undefined;
  readonly runAsRoot?: boolean | undefined;
  readonly compression?: "none" | "zlib" | "zstd" | undefined;
  readonly diskSubformat?: string | undefined;
  readonly formatOptions?: FormatOptions | undefined;
  readonly storeId?: string | undefined;
  readonly baseImageRef?: string | undefined;
  readonly verify?: VerifyPolicy$1 | undefined;
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

interface VolumesToArchiveRequest extends CallOptions$1 {
  readonly disks: readonly {
    readonly volume: string;
    readonly volumeFormat: DiskFormat$1;
    readonly name?: string | undefined;
  }[];
  readonly machine: OvaMachine$1;
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

export declare function createDirectoryImageService(options: DirectoryImageServiceOptions): ImageService$1;

export declare function createImageUtils(dependencies?: ImageUtilsDependencies, options?: ImageUtilsOptions): ImageUtils;

export declare function fileSource(name: string, handle: FileHandle, size?: number): Promise<Source>;

export declare function imagePropertiesOf(machine: Ovf, disk?: string): ImageMetadata$1;

export declare function nameOfWord(word: Word): string;

export declare function readMachine(reader: RandomAccessReader, imageId?: string): Promise<Ovf | undefined>;

export declare function readWord(word: string, bare?: "image" | "file"): Word;

export {
  type ArchiveToVolumesRequest,
  type BlockSize,
  type ByteSink,
  type CallOptions,
  type CertificateSource,
  type CheckImageFormatOptions,
  type CinderImageUtils,
  type Cipher,
  type Clock,
  type ConvertImageOptions,
  type DescribedSource,
  type DirectoryImageServiceOptions,
  type DiskFormat,
  type DownloadOptions,
  type DownloadReport,
  type FetchOptions,
  type FetchToVolumeOptions,
  type FormatOptions,
  type FormatRules,
  type FoundFormat,
  type FoundImage,
  GlanceConnectionFailedError,
  type GlanceSettings,
  GlanceStoreNotFoundError,
  GlanceStoreReadOnlyError,
  type ImageCandidate,
  ImageConversionNotAllowedError,
  ImageDownloadFailedError,
  ImageError,
  type ImageErrorKind,
  ImageLimitExceededError,
  type ImageMetadata,
  ImageNotAuthorizedError,
  ImageNotFoundError,
  type ImageRecord,
  type ImageService,
  ImageSignatureVerificationError,
  type ImageToVolumeOptions,
  type ImageToVolumePlan,
  type ImageToVolumeReport,
  type ImageToVolumeRequest,
  ImageTooBigError,
  ImageUnacceptableError,
  type ImageUtils,
  type ImageUtilsDependencies,
  type ImageUtilsOptions,
  type InsideInspector,
  type InsideReport,
  InvalidError,
  InvalidSignatureImageError,
  InvalidVolumeTypeError,
  type Logger,
  type NetworkOptions,
  NotSupportedOperationError,
  type OpenSourceOptions,
  type OpenedSource,
  type Operation,
  type OperationFacts,
  type OperationName,
  type OvaController,
  type OvaMachine,
  ProcessExecutionError,
  type ProcessRunner,
  type Progress,
  type ProgressListener,
  type QemuDataOptions,
  type QemuImgInfo,
  type QemuImgInfoOptions,
  type Refusal,
  type RemoteScheme,
  type RequestContext,
  type RequestedImage,
  type ResizeImageOptions,
  type ResolvedOptions,
  type SandboxMode,
  type SourceCacheOptions,
  type SourceToImageReport,
  type SourceToImageRequest,
  type StreamToImageRequest,
  type TargetImage,
  type Telemetry,
  type TemporaryImageOptions,
  type TemporaryImages,
  type TemporaryPath,
  type Throttle,
  type Unwrapped,
  type UploadOptions,
  type UploadSource,
  type UploadVolumeOptions,
  type VerifyPolicy,
  type VerifyVolumeChecksumsReport,
  type VerifyVolumeChecksumsRequest,
  type VerifyVolumeReport,
  type VerifyVolumeRequest,
  VhdError,
  VolumeAccessError,
  VolumeBackendError,
  type VolumeToImageReport,
  type VolumeToImageRequest,
  type VolumesToArchiveReport,
  type VolumesToArchiveRequest,
  type Word,
  type WritableDiskFormat,
  XenserverArchiveError,
  createGlanceImageService,
  httpStatusOf,
  machineOfProperties,
  parseDiskFormat,
};
