import {
  CallOptions,
  ImageError,
  ImageSnapshot,
  ProcessRunner,
  QemuImgInfo,
} from "@disk-image/core";

interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

type CacheMode = "none" | "writeback" | "writethrough" | "directsync" | "unsafe";

interface CheckOptions extends QemuImgCallOptions, Omit<ImageReference, "path"> {
  readonly repair?: "leaks" | "all" | undefined;
  readonly forceShare?: boolean | undefined;
}

interface CheckReport {
  readonly corruptions: number;
  readonly leaks: number;
  readonly corruptionsFixed: number;
  readonly leaksFixed: number;
  readonly checkErrors: number;
  readonly imageEndOffset: number | undefined;
  readonly totalClusters: number | undefined;
  readonly allocatedClusters: number | undefined;
  readonly compressedClusters: number | undefined;
}

interface Cipher {
  readonly cipherAlg: string;
  readonly cipherMode: string;
  readonly ivgenAlg: string;
}

interface CompareOptions extends QemuImgCallOptions, CallOptions {
  readonly strict?: boolean | undefined;
  readonly forceShare?: boolean | undefined;
}

type Comparison = {
  readonly identical: true;
} | {
  readonly identical: false;
  readonly reason: string;
  readonly offset: number | undefined;
};

interface ConvertOptions extends ConvertRequest, QemuImgCallOptions, CallOptions {
  readonly virtualSizeBytes?: number | undefined;
}

interface ConvertRequest {
  readonly source: ConvertSource;
  readonly destination: CreationOptions;
  readonly sparse?: boolean | undefined;
  readonly noCreate?: boolean | undefined;
  readonly destinationRange?: ByteRange | undefined;
  readonly targetIsZero?: boolean | undefined;
  readonly directIo?: boolean | undefined;
  readonly cacheMode?: CacheMode | undefined;
  readonly sourceCacheMode?: CacheMode | undefined;
  readonly outOfOrder?: boolean | undefined;
  readonly rateLimitBytesPerSecond?: number | undefined;
  readonly parallelism?: number | undefined;
}

interface ConvertSource extends ImageReference {
  readonly snapshot?: string | undefined;
  readonly forceShare?: boolean | undefined;
}

interface CreateOptions extends QemuImgCallOptions, Omit<CreationOptions, "path"> {
  readonly backing?: ImageReference | undefined;
}

interface CreationOptions extends ImageReference {
  readonly subformat?: string | undefined;
  readonly forceSize?: boolean | undefined;
  readonly cipher?: Cipher | undefined;
  readonly keyDerivationMs?: number | undefined;
  readonly compression?: "none" | "zlib" | "zstd" | undefined;
  readonly clusterSizeBytes?: number | undefined;
}

type ImageFormat = (typeof imageFormats)[number];

interface ImageReference {
  readonly path: string;
  readonly format: string;
  readonly passphraseFile?: string | undefined;
  readonly furtherFiles?: readonly string[] | undefined;
  readonly range?: ByteRange | undefined;
}

interface InfoOptions extends QemuImgCallOptions, Omit<ImageReference, "path"> {
  readonly forceShare?: boolean | undefined;
  readonly allowBackingFile?: boolean | undefined;
}

export declare class InvalidVolumeTypeError extends ImageError {
  readonly code = "INVALID_VOLUME_TYPE";
  readonly kind = "invalid";
  readonly reason: string;
  constructor(init: {
    readonly reason: string;
    readonly cause?: unknown;
  });
}

interface MapExtent {
  readonly start: number;
  readonly length: number;
  readonly depth: number;
  readonly zero: boolean;
  readonly data: boolean;
  readonly present: boolean;
  readonly compressed: boolean;
  readonly offset: number | undefined;
}

interface MapOptions extends QemuImgCallOptions, Omit<ImageReference, "path"> {
  readonly startOffset?: number | undefined;
  readonly maxLength?: number | undefined;
  readonly forceShare?: boolean | undefined;
}

interface MeasureOptions extends QemuImgCallOptions {
  readonly destination: Omit<CreationOptions, "compression" | "passphraseFile" | "path">;
}

type MeasureSource = ImageReference | {
  readonly sizeBytes: number;
};

interface Measurement {
  readonly requiredBytes: number;
  readonly fullyAllocatedBytes: number;
}

interface QemuImg {
  version(signal?: AbortSignal): Promise<readonly number[] | undefined>;
  requireVersion(minimum: string, signal?: AbortSignal): Promise<void>;
  info(path: string, options: InfoOptions): Promise<QemuImgInfo>;
  convert(options: ConvertOptions): Promise<void>;
  resize(path: string, sizeBytes: number, options: ResizeOptions): Promise<void>;
  create(path: string, sizeBytes: number, options: CreateOptions): Promise<void>;
  check(path: string, options: CheckOptions): Promise<CheckReport>;
  compare(left: ImageReference, right: ImageReference, options?: CompareOptions): Promise<Comparison>;
  map(path: string, options: MapOptions): Promise<readonly MapExtent[]>;
  measure(source: MeasureSource, options: MeasureOptions): Promise<Measurement>;
  snapshots(path: string, options: SnapshotOptions): Promise<readonly ImageSnapshot[]>;
  createSnapshot(path: string, name: string, options: SnapshotOptions): Promise<void>;
  applySnapshot(path: string, name: string, options: SnapshotOptions): Promise<void>;
  deleteSnapshot(path: string, name: string, options: SnapshotOptions): Promise<void>;
}

interface QemuImgCallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly asRoot?: boolean | undefined;
  readonly throttlePrefix?: readonly string[] | undefined;
  readonly timeoutMs?: number | undefined;
}

interface QemuImgDependencies {
  readonly runner: ProcessRunner;
}

interface QemuImgLimits {
  readonly cpuLimitSeconds: number;
  readonly convertCpuSecondsPerGiB: number;
  readonly addressSpaceLimitBytes: number;
  readonly timeoutMs: number | undefined;
}

type QemuImgOptions = { readonly [Name in keyof QemuImgLimits]?: QemuImgLimits[Name] | undefined; };

export declare class QemuImgOutputError extends ImageError {
  readonly code = "QEMU_IMG_OUTPUT";
  readonly kind = "failed";
  readonly subcommand: string;
  readonly reason: string;
  constructor(init: {
    readonly subcommand: string;
    readonly reason: string;
    readonly cause?: unknown;
  });
}

interface ResizeOptions extends QemuImgCallOptions, Omit<ImageReference, "path"> {
  readonly shrink?: boolean | undefined;
}

interface SnapshotOptions extends QemuImgCallOptions, Omit<ImageReference, "path"> {}

export declare class VolumeBackendError extends ImageError {
  readonly code = "VOLUME_BACKEND";
  readonly kind = "failed";
  readonly reason: string;
  constructor(init: {
    readonly reason: string;
    readonly cause?: unknown;
  });
}

export declare function checkQemuImgVersion(current: readonly number[] | undefined, minimum: string): void;

export declare function checkSubformat(format: string, subformat: string | undefined): void;

export declare function createQemuImg(dependencies: QemuImgDependencies, options?: QemuImgOptions): QemuImg;

export declare function decodeCipher(cipherSpec: string, keySizeBits: number | bigint | null | undefined): Cipher;

export declare const imageFormats: readonly ["bochs", "cloop", "dmg", "luks", "parallels", "qcow", "qcow2", "qed", "raw", "vdi", "vhdx", "vmdk", "vpc"];

export type {
  CacheMode,
  CheckOptions,
  CheckReport,
  Cipher,
  CompareOptions,
  Comparison,
  ConvertOptions,
  ConvertRequest,
  ConvertSource,
  CreateOptions,
  CreationOptions,
  ImageFormat,
  ImageReference,
  InfoOptions,
  MapExtent,
  MapOptions,
  MeasureOptions,
  MeasureSource,
  Measurement,
  QemuImg,
  QemuImgCallOptions,
  QemuImgDependencies,
  QemuImgLimits,
  QemuImgOptions,
  ResizeOptions,
  SnapshotOptions,
};
