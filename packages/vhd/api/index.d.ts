import {
  CallOptions,
  Disk,
  DiskReceiver,
  Extent,
  ImageError,
  RandomAccessReader,
  Refusal,
} from "@disk-image/core";

import {
  FileHandle,
} from "node:fs/promises";

interface ArchiveLimits {
  readonly maxBytes?: number | undefined;
  readonly maxVirtualSizeBytes?: number | undefined;
  readonly maxMembers?: number | undefined;
  readonly maxCompressionRatio?: number | undefined;
}

interface ArchiveWarning {
  readonly member: string;
  readonly rule: string;
  readonly reason: string;
  readonly found?: string | undefined;
}

interface ByteStream extends AsyncIterable<Uint8Array> {
  readonly sizeBytes: number;
}

type ChainFile = string | (RawSource & {
  readonly source: string;
});

interface ChainRules {
  readonly checkParentIds?: boolean | undefined;
  readonly trustEndFooter?: boolean | undefined;
}

type ChainSource = VhdSource | RawSource;

interface CoalesceOptions extends MergeOptions, ChainRules {
  readonly mode?: "in-place" | "copy" | undefined;
}

interface CreateSnapshotOptions {
  readonly sizeBytes?: number | undefined;
  readonly parentFormat?: "vhd" | "raw" | undefined;
  readonly uniqueId?: string | undefined;
}

interface CreateVhdOptions {
  readonly sizeBytes: number;
  readonly type?: "fixed" | "dynamic" | undefined;
  readonly style?: VhdStyle | undefined;
  readonly alignBytes?: number | undefined;
  readonly blockSizeBytes?: number | undefined;
  readonly uniqueId?: string | undefined;
}

interface DecodedLocator {
  readonly platform: string;
  readonly offset: number;
  readonly spaceBytes: number;
  readonly lengthBytes: number;
  readonly path: string | undefined;
}

interface DiskGeometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

interface DynamicVhdOptions extends CallOptions {
  readonly style?: VhdStyle | undefined;
  readonly uniqueId?: string | undefined;
}

interface ExamineOptions extends CallOptions {
  readonly bitmaps?: boolean | undefined;
  readonly parents?: boolean | undefined;
  readonly nowMs?: number | undefined;
}

interface ExtractOptions extends ArchiveLimits, CallOptions {}

interface ExtractedArchive {
  readonly chain: string[];
  readonly sizeBytes: number;
  readonly virtualSizeBytes: number;
  readonly warnings: readonly ArchiveWarning[];
}

interface FixedVhdOptions extends ReadOptions {
  readonly alignBytes?: number | undefined;
  readonly uniqueId?: string | undefined;
}

interface FlattenOptions extends CallOptions, ChainRules, Pick<FixedVhdOptions, "alignBytes"> {
  readonly format?: "raw" | "fixed" | "dynamic" | undefined;
  readonly style?: DynamicVhdOptions["style"];
}

type FooterOrigin = "end" | "end-511" | "start";

export declare class GzipDecoder {
  #private;
  constructor(receive: UnpackedReceiver);
  write(chunk: Uint8Array): Promise<void>;
  end(): GzipTrailer | undefined;
  destroy(): void;
}

export declare class GzipError extends Error {
  readonly problem: GzipProblem;
  readonly offset: number;
  readonly found: string | undefined;
  readonly accepted: string | undefined;
  constructor(init: {
    readonly problem: GzipProblem;
    readonly reason: string;
    readonly offset: number;
    readonly found?: string | undefined;
    readonly accepted?: string | undefined;
    readonly cause?: unknown;
  });
}

type GzipProblem = "not-gzip" | "truncated" | "damaged" | "members" | "trailing";

interface GzipTrailer {
  readonly kind: "zeros" | "fwtool";
  readonly offset: number;
  readonly bytes: number;
}

interface MergeOptions extends CallOptions {
  readonly keepZeroBlocks?: boolean | undefined;
}

interface RawSource {
  readonly source: VhdSource;
  readonly format: "raw";
}

interface ReadOptions extends CallOptions {
  readonly findZeroes?: boolean | undefined;
}

interface RepairOptions {
  readonly dryRun?: boolean | undefined;
  readonly assignUuid?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface RepairReport {
  readonly repairs: readonly VhdRepair[];
  readonly remaining: readonly VhdIssue[];
}

interface ResizeOptions extends CallOptions {
  readonly exact?: boolean | undefined;
}

interface SetParentOptions {
  readonly parentFormat?: "vhd" | "raw" | undefined;
  readonly signal?: AbortSignal | undefined;
}

type UnpackedReceiver = (bytes: Uint8Array) => Promise<void>;

interface VhdBlocksInfo {
  readonly blockSizeBytes: number;
  readonly total: number;
  readonly allocated: number;
  readonly tableOffset: number;
  readonly tableEntries: number;
  readonly batmap: boolean;
}

interface VhdChain extends Disk {
  readonly size: number;
  read(offset: number, length: number): Promise<Uint8Array>;
  extents(options?: ReadOptions): AsyncGenerator<VhdExtent, void, void>;
  copyTo(receiver: DiskReceiver, options?: ReadOptions): Promise<void>;
  close(): Promise<void>;
}

export declare class VhdError extends ImageError {
  readonly code = "VHD_REFUSED";
  readonly kind = "refused";
  readonly path: string | undefined;
  readonly rule: string;
  readonly reason: string;
  readonly found: string | undefined;
  readonly offset: number | undefined;
  readonly accepted: string | undefined;
  readonly reference: string | undefined;
  constructor(init: VhdErrorInit);
}

interface VhdErrorInit extends Refusal {
  readonly path?: string | undefined;
  readonly cause?: unknown;
}

type VhdExtent = (Extent & {
  readonly kind: "data";
  readonly data: Uint8Array;
}) | (Extent & {
  readonly kind: "zero";
  readonly data?: undefined;
});

interface VhdInfo {
  readonly path: string | undefined;
  readonly type: VhdType;
  readonly currentSizeBytes: number;
  readonly originalSizeBytes: number;
  readonly geometry: DiskGeometry;
  readonly geometryBytes: number;
  readonly fileSizeBytes: number;
  readonly uniqueId: string;
  readonly createdAt: Date;
  readonly creator: string;
  readonly creatorVersion: string;
  readonly hidden: boolean;
  readonly savedState: boolean;
  readonly footer: FooterOrigin;
  readonly blocks: VhdBlocksInfo | undefined;
  readonly parent: VhdParentInfo | undefined;
}

interface VhdIssue extends Refusal {
  readonly severity: VhdIssueSeverity;
}

type VhdIssueSeverity = "fatal" | "error" | "warning";

interface VhdParentInfo {
  readonly uniqueId: string;
  readonly modifiedAt: Date;
  readonly name: string;
  readonly locators: readonly DecodedLocator[];
}

interface VhdRepair {
  readonly rule: string;
  readonly action: string;
  readonly offset?: number | undefined;
}

interface VhdReport {
  readonly path: string | undefined;
  readonly ok: boolean;
  readonly issues: readonly VhdIssue[];
  readonly info: VhdInfo | undefined;
}

type VhdSource = string | FileHandle | RandomAccessReader;

type VhdStyle = "xenserver" | "windows";

type VhdType = "fixed" | "dynamic" | "differencing";

interface WriteDynamicOptions extends DynamicVhdOptions {
  readonly sizeBytes: number;
}

export declare class XenserverArchiveError extends ImageError {
  readonly code = "XENSERVER_ARCHIVE_REFUSED";
  readonly kind = "refused";
  readonly member: string | undefined;
  readonly rule: string;
  readonly reason: string;
  readonly found: string | undefined;
  readonly offset: number | undefined;
  readonly accepted: string | undefined;
  readonly reference: string | undefined;
  constructor(init: XenserverArchiveErrorInit);
}

interface XenserverArchiveErrorInit extends Refusal {
  readonly member?: string | undefined;
  readonly cause?: unknown;
}

export declare function checkVhd(vhd: VhdSource, options?: ExamineOptions): Promise<void>;

export declare function coalesceChain(vhdChain: readonly ChainFile[], options?: CoalesceOptions): Promise<string>;

export declare function coalesceVhd(vhdPath: string, options?: CoalesceOptions): Promise<void>;

export declare function createSnapshot(path: string, parentPath: string, { sizeBytes, parentFormat, uniqueId }?: CreateSnapshotOptions): Promise<void>;

export declare function createVhd(path: string, options: CreateVhdOptions): Promise<void>;

export declare function discoverVhdChain(directory: string): Promise<string[]>;

export declare function examineVhd(vhd: VhdSource, options?: ExamineOptions): Promise<VhdReport>;

export declare function extractXenserverArchive(source: string | AsyncIterable<Uint8Array>, targetDirectory: string, options?: ExtractOptions): Promise<ExtractedArchive>;

export declare function findVhdChain(leafPath: string): Promise<string[]>;

export declare function fixVhdChain(vhdChain: readonly string[], { signal }?: Pick<SetParentOptions, "signal">): Promise<void>;

export declare function flattenChain(sources: ChainSource | readonly ChainSource[], destinationPath: string, options?: FlattenOptions): Promise<void>;

export declare function geometryOf(sizeBytes: number): DiskGeometry;

export declare function getVhdInfo(vhd: VhdSource): Promise<VhdInfo>;

export declare function getVhdSize(vhd: VhdSource): Promise<number>;

export declare function isXenserverFormat(imageMeta: {
  readonly disk_format?: string | null | undefined;
  readonly container_format?: string | null | undefined;
}): boolean;

export declare function openVhdChain(sources: ChainSource | readonly ChainSource[], rules?: ChainRules): Promise<VhdChain>;

export declare function readChain(sources: ChainSource | readonly ChainSource[], options?: ReadOptions & ChainRules): AsyncGenerator<VhdExtent, void, void>;

export declare function repairVhd(path: string, { dryRun, assignUuid, signal }?: RepairOptions): Promise<RepairReport>;

export declare function resizeVhd(vhdPath: string, sizeMiB: number, { signal, onProgress, exact }?: ResizeOptions): Promise<void>;

export declare function setVhdParent(vhdPath: string, parentPath: string, { parentFormat, signal }?: SetParentOptions): Promise<void>;

export declare function streamDynamicVhd(chain: VhdChain, options?: DynamicVhdOptions): Promise<ByteStream>;

export declare function streamFixedVhd(chain: VhdChain, options?: FixedVhdOptions): ByteStream;

export declare function streamRaw(chain: VhdChain, options?: ReadOptions): ByteStream;

export declare function writeDynamicVhd(source: AsyncIterable<Uint8Array>, destinationPath: string, options: WriteDynamicOptions): Promise<void>;

export type {
  ArchiveLimits,
  ArchiveWarning,
  ByteStream,
  ChainFile,
  ChainRules,
  ChainSource,
  CoalesceOptions,
  CreateSnapshotOptions,
  CreateVhdOptions,
  DecodedLocator,
  DiskGeometry,
  DynamicVhdOptions,
  ExamineOptions,
  ExtractOptions,
  ExtractedArchive,
  FixedVhdOptions,
  FlattenOptions,
  FooterOrigin,
  GzipProblem,
  GzipTrailer,
  MergeOptions,
  RawSource,
  ReadOptions,
  RepairOptions,
  RepairReport,
  ResizeOptions,
  SetParentOptions,
  UnpackedReceiver,
  VhdBlocksInfo,
  VhdChain,
  VhdErrorInit,
  VhdExtent,
  VhdInfo,
  VhdIssue,
  VhdIssueSeverity,
  VhdParentInfo,
  VhdRepair,
  VhdReport,
  VhdSource,
  VhdStyle,
  VhdType,
  WriteDynamicOptions,
  XenserverArchiveErrorInit,
};
