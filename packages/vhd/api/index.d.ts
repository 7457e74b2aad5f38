import {
  ByteSink,
  CallOptions,
  Disk,
  ImageError,
  RandomAccessReader,
  Refusal,
  Target,
} from "@disk-image/core";

import {
  ChainRules,
  ChainRules as ChainRules$1,
  DiskGeometry,
  DiskGeometry as DiskGeometry$1,
  FooterOrigin,
  FooterOrigin as FooterOrigin$1,
  VhdError,
  VhdErrorInit,
  VhdIssue,
  VhdIssue as VhdIssue$1,
  VhdIssueSeverity,
  VhdStyle,
  VhdStyle as VhdStyle$1,
  VhdType,
  VhdType as VhdType$1,
  geometryOf,
} from "@disk-image/disk/vhd";

import {
  FileHandle,
} from "node:fs/promises";

import {
  MemberSink,
  VhdEncodeOptions,
} from "@disk-image/disk";

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

type ChainSource = VhdSource | RawSource;

interface CoalesceOptions extends MergeOptions, ChainRules$1 {
  readonly mode?: "in-place" | "copy" | undefined;
}

interface CreateSnapshotOptions extends ReplaceOption {
  readonly sizeBytes?: number | undefined;
  readonly parentFormat?: "vhd" | "raw" | undefined;
  readonly uniqueId?: string | undefined;
}

interface CreateVhdOptions extends ReplaceOption {
  readonly sizeBytes: number;
  readonly type?: "fixed" | "dynamic" | undefined;
  readonly style?: VhdStyle$1 | undefined;
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

interface DecodedXenserverArchive {
  readonly virtualSizeBytes: number;
  readonly warnings: readonly ArchiveWarning[];
}

interface DiskSink extends MemberSink {
  end(): Promise<void>;
}

interface DynamicVhdOptions extends CallOptions, Pick<VhdEncodeOptions, "style"> {
  readonly uniqueId?: string | undefined;
}

interface ExamineOptions extends CallOptions {
  readonly bitmaps?: boolean | undefined;
  readonly parents?: boolean | undefined;
  readonly nowMs?: number | undefined;
}

interface ExtractOptions extends ArchiveLimits, CallOptions {
  readonly durable?: boolean | undefined;
}

interface ExtractedArchive {
  readonly chain: string[];
  readonly sizeBytes: number;
  readonly virtualSizeBytes: number;
  readonly warnings: readonly ArchiveWarning[];
}

interface FixedVhdOptions extends CallOptions {
  readonly alignBytes?: number | undefined;
  readonly uniqueId?: string | undefined;
}

interface FlattenOptions extends CallOptions, ChainRules$1, ReplaceOption, Pick<FixedVhdOptions, "alignBytes"> {
  readonly format?: "raw" | "fixed" | "dynamic" | undefined;
  readonly style?: DynamicVhdOptions["style"];
}

interface MergeOptions extends CallOptions {
  readonly keepZeroBlocks?: boolean | undefined;
}

interface RawSource {
  readonly source: VhdSource;
  readonly format: "raw";
}

interface RepairOptions {
  readonly dryRun?: boolean | undefined;
  readonly assignUuid?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface RepairReport {
  readonly repairs: readonly VhdRepair[];
  readonly remaining: readonly VhdIssue$1[];
}

interface ReplaceOption {
  readonly replace?: boolean | undefined;
}

interface ResizeOptions extends CallOptions {
  readonly exact?: boolean | undefined;
}

interface SetParentOptions {
  readonly parentFormat?: "vhd" | "raw" | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface VhdBlocksInfo {
  readonly blockSizeBytes: number;
  readonly total: number;
  readonly allocated: number;
  readonly tableOffset: number;
  readonly tableEntries: number;
  readonly batmap: boolean;
}

interface VhdInfo {
  readonly path: string | undefined;
  readonly type: VhdType$1;
  readonly currentSizeBytes: number;
  readonly originalSizeBytes: number;
  readonly geometry: DiskGeometry$1;
  readonly geometryBytes: number;
  readonly fileSizeBytes: number;
  readonly uniqueId: string;
  readonly createdAt: Date;
  readonly creator: string;
  readonly creatorVersion: string;
  readonly hidden: boolean;
  readonly savedState: boolean;
  readonly footer: FooterOrigin$1;
  readonly blocks: VhdBlocksInfo | undefined;
  readonly parent: VhdParentInfo | undefined;
}

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
  readonly issues: readonly VhdIssue$1[];
  readonly info: VhdInfo | undefined;
}

type VhdSource = string | FileHandle | RandomAccessReader;

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

interface XenserverDecoder extends ByteSink {
  end(): Promise<DecodedXenserverArchive>;
  close(): Promise<void>;
}

interface XenserverDecoderOptions extends ArchiveLimits, Pick<CallOptions, "signal"> {
  readonly target: Pick<Target, "write" | "zero">;
  readonly onSize: (sizeBytes: number) => Promise<void>;
  readonly writeZeros?: boolean | undefined;
  readonly folder: () => Promise<string>;
  readonly inspect?: ((sink: DiskSink) => DiskSink) | undefined;
}

export declare function checkVhd(vhd: VhdSource, options?: ExamineOptions): Promise<void>;

export declare function coalesceChain(vhdChain: readonly ChainFile[], options?: CoalesceOptions): Promise<string>;

export declare function coalesceVhd(vhdPath: string, options?: CoalesceOptions): Promise<void>;

export declare function createSnapshot(path: string, parentPath: string, { sizeBytes, parentFormat, uniqueId, replace }?: CreateSnapshotOptions): Promise<void>;

export declare function createVhd(path: string, options: CreateVhdOptions): Promise<void>;

export declare function discoverVhdChain(directory: string): Promise<string[]>;

export declare function examineVhd(vhd: VhdSource, options?: ExamineOptions): Promise<VhdReport>;

export declare function extractXenserverArchive(source: string | AsyncIterable<Uint8Array>, targetDirectory: string, options?: ExtractOptions): Promise<ExtractedArchive>;

export declare function findVhdChain(leafPath: string): Promise<string[]>;

export declare function fixVhdChain(vhdChain: readonly string[], { signal }?: Pick<SetParentOptions, "signal">): Promise<void>;

export declare function flattenChain(sources: ChainSource | readonly ChainSource[], destinationPath: string, options?: FlattenOptions): Promise<void>;

export declare function getVhdInfo(vhd: VhdSource): Promise<VhdInfo>;

export declare function getVhdSize(vhd: VhdSource): Promise<number>;

export declare function isXenserverFormat(imageMeta: {
  readonly disk_format?: string | null | undefined;
  readonly container_format?: string | null | undefined;
}): boolean;

export declare function openVhdChain(sources: ChainSource | readonly ChainSource[], rules?: ChainRules$1): Promise<Disk>;

export declare function openXenserverDecoder(options: XenserverDecoderOptions): XenserverDecoder;

export declare function repairVhd(path: string, { dryRun, assignUuid, signal }?: RepairOptions): Promise<RepairReport>;

export declare function resizeVhd(vhdPath: string, sizeMiB: number, { signal, onProgress, exact }?: ResizeOptions): Promise<void>;

export declare function setVhdParent(vhdPath: string, parentPath: string, { parentFormat, signal }?: SetParentOptions): Promise<void>;

export declare function streamDynamicVhd(source: Disk, options?: DynamicVhdOptions): Promise<ByteStream>;

export declare function streamFixedVhd(disk: Disk, options?: FixedVhdOptions): ByteStream;

export declare function streamRaw(disk: Disk, options?: CallOptions): ByteStream;

export declare function writeDynamicVhd(source: AsyncIterable<Uint8Array>, destinationPath: string, options: WriteDynamicOptions): Promise<void>;

export {
  type ArchiveLimits,
  type ArchiveWarning,
  type ByteStream,
  type ChainFile,
  type ChainRules,
  type ChainSource,
  type CoalesceOptions,
  type CreateSnapshotOptions,
  type CreateVhdOptions,
  type DecodedLocator,
  type DecodedXenserverArchive,
  type DiskGeometry,
  type DiskSink,
  type DynamicVhdOptions,
  type ExamineOptions,
  type ExtractOptions,
  type ExtractedArchive,
  type FixedVhdOptions,
  type FlattenOptions,
  type FooterOrigin,
  type MergeOptions,
  type RawSource,
  type RepairOptions,
  type RepairReport,
  type ResizeOptions,
  type SetParentOptions,
  type VhdBlocksInfo,
  VhdError,
  type VhdErrorInit,
  type VhdInfo,
  type VhdIssue,
  type VhdIssueSeverity,
  type VhdParentInfo,
  type VhdRepair,
  type VhdReport,
  type VhdSource,
  type VhdStyle,
  type VhdType,
  type WriteDynamicOptions,
  type XenserverArchiveErrorInit,
  type XenserverDecoder,
  type XenserverDecoderOptions,
  geometryOf,
};
