import {
  CallOptions,
  CertificateSource,
  Clock,
  DownloadReport,
  ImageMetadata,
  ImageRecord,
  ImageService,
  Logger,
  ProcessRunner,
  Progress,
  QemuImgInfo,
  RequestContext,
  Target,
  TemporaryFileOptions,
  TemporaryPath,
  VerifyPolicy,
} from "@disk-image/core";

import {
  Cipher,
} from "@disk-image/qemu-img";

import {
  EncodeOptions,
} from "@disk-image/disk";

import {
  FileHandle,
} from "node:fs/promises";

import {
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

type BlockSize = string | number;

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

interface GlanceSettings extends Omit<GlanceClientOptions, "retries">, Omit<GlanceImageServiceOptions, "allowedDirectUrlSchemes"> {}

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

interface NetworkOptions {
  readonly url?: HttpSourceOptions | undefined;
  readonly oci?: OciSourceOptions | undefined;
  readonly s3?: S3SourceOptions | undefined;
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

interface ResizeImageOptions extends CallOptions {
  readonly runAsRoot?: boolean | undefined;
  readonly fileFormat?: string | undefined;
}

type SandboxMode = "auto" | "require" | "off";

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

interface Throttle {
  readonly prefix?: readonly string[] | undefined;
  readonly rateBytesPerSecond?: number | undefined;
}

interface UploadVolumeOptions extends CallOptions {
  readonly volumeFd?: FileHandle | undefined;
  readonly volumeFormat?: string | undefined;
  readonly runAsRoot?: boolean | undefined;
  readonly compress?: boolean | undefined;
  readonly storeId?: string | undefined;
  readonly baseImageRef?: string | undefined;
}

export declare function createCinderImageUtils(dependencies?: ImageUtilsDependencies, options?: ImageUtilsOptions): CinderImageUtils;

export type {
  BlockSize,
  CheckImageFormatOptions,
  CinderImageUtils,
  ConvertImageOptions,
  FetchOptions,
  FetchToVolumeOptions,
  ImageUtilsDependencies,
  ImageUtilsOptions,
  QemuDataOptions,
  QemuImgInfoOptions,
  ResizeImageOptions,
  TargetImage,
  TemporaryImageOptions,
  TemporaryImages,
  UploadVolumeOptions,
};
