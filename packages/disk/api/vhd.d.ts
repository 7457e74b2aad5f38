import {
  Disk,
  ImageError,
  Layout,
  RandomAccessReader,
  Refusal,
} from "@disk-image/core";

interface Batmap {
  readonly headerOffset: number;
  readonly mapOffset: number;
  readonly mapBytes: number;
  readonly intact: boolean;
}

interface ByteSource {
  readonly size: number;
  readonly path?: string | undefined;
  readonly identity?: string | undefined;
  read(target: Uint8Array, offset: number): Promise<void>;
}

interface ChainDisk {
  readonly source: ByteSource;
  readonly type: VhdType | "raw";
  readonly sizeBytes: number;
  readonly layout: VhdLayout | undefined;
  load(start: number, end: number): Promise<ExtentCutter>;
  mayHaveData(start: number, end: number): boolean;
}

export declare class ChainExtent {
  readonly start: number;
  readonly end: number;
  readonly level: number | undefined;
  readonly fileOffset: number;
  readonly ended: boolean;
  constructor(start: number, end: number, level: number | undefined, fileOffset: number, ended: boolean);
}

type ChainReader = RandomAccessReader | RawReader;

interface ChainRules {
  readonly checkParentIds?: boolean | undefined;
  readonly trustEndFooter?: boolean | undefined;
}

interface DiskGeometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

interface DynamicLayout {
  readonly header: VhdHeader;
  readonly headerOffset: number;
  readonly headerBytes: Uint8Array;
  readonly blockCount: number;
  readonly bitmapBytes: number;
  readonly table: Uint32Array;
  readonly batmap: Batmap | undefined;
  readonly endOfData: number;
  readonly overlapped: ReadonlySet<string>;
}

type ExtentCutter = (start: number, end: number, visitor: ExtentVisitor) => void;

type ExtentVisitor = (start: number, end: number, fileOffset: number | undefined) => void;

interface FooterFields {
  readonly problem: FooterProblem | undefined;
  readonly type: VhdType | undefined;
  readonly typeNumber: number;
  readonly currentSize: bigint;
  readonly currentSizeBytes: number;
  readonly originalSizeBytes: number;
  readonly geometry: DiskGeometry;
  readonly uniqueId: string;
  readonly timestamp: number;
  readonly creatorApplication: string;
  readonly creatorVersion: number;
  readonly creatorHost: string;
  readonly features: number;
  readonly formatVersion: number;
  readonly dataOffset: bigint;
  readonly headerOffset: number | undefined;
  readonly savedState: boolean;
  readonly hidden: boolean;
  readonly storedChecksum: number;
  readonly rightChecksum: number;
}

type FooterOrigin = "end" | "end-511" | "start";

type FooterProblem = "cookie" | "poisoned" | "checksum" | "type" | "version" | "size";

interface FoundFooter {
  readonly footer: VhdFooter;
  readonly bytes: Uint8Array;
  readonly origin: FooterOrigin;
  readonly tailBytes: number;
  readonly problems: readonly VhdIssue[];
}

interface LocatorEntry {
  readonly index: number;
  readonly platform: string;
  readonly spaceBytes: number;
  readonly lengthBytes: number;
  readonly offset: number;
}

interface OpenDiskOptions {
  readonly signal?: AbortSignal | undefined;
}

interface RawReader {
  readonly source: RandomAccessReader;
  readonly format: "raw";
}

declare abstract class RefusedImageError extends ImageError {
  readonly kind = "refused";
  readonly rule: string;
  readonly reason: string;
  readonly found: string | undefined;
  readonly offset: number | undefined;
  readonly accepted: string | undefined;
  constructor(message: string, init: Refusal & {
    readonly cause?: unknown;
  });
}

interface UnreadableVhd {
  readonly found: FoundFooter | undefined;
  readonly problems: readonly VhdIssue[];
}

interface VhdDisk extends Disk {
  readonly layout: VhdLayout;
}

export declare class VhdError extends RefusedImageError {
  readonly code = "VHD_REFUSED";
  readonly path: string | undefined;
  readonly reference: string | undefined;
  constructor(init: VhdErrorInit);
}

interface VhdErrorInit extends Refusal {
  readonly path?: string | undefined;
  readonly cause?: unknown;
}

interface VhdFooter extends FooterFields {
  readonly problem: undefined;
  readonly type: VhdType;
}

interface VhdHeader {
  readonly tableOffset: number;
  readonly maximumEntries: number;
  readonly blockSizeBytes: number;
  readonly parentUniqueId: string;
  readonly parentTimestamp: number;
  readonly parentName: string;
  readonly locators: readonly LocatorEntry[];
}

interface VhdIssue extends Refusal {
  readonly severity: VhdIssueSeverity;
}

type VhdIssueSeverity = "fatal" | "error" | "warning";

interface VhdLayout extends Layout {
  readonly format: "vhd";
  readonly kind: VhdType;
  readonly fileBytes: number;
  readonly found: FoundFooter;
  readonly dynamic: DynamicLayout | undefined;
  readonly problems: readonly VhdIssue[];
}

type VhdType = "fixed" | "dynamic" | "differencing";

export declare function batmapBytes(maximumEntries: number): number;

export declare function checksum(bytes: Uint8Array, fieldOffset?: number): number;

export declare function createChainDisk(disks: readonly ChainDisk[], signal?: AbortSignal): Disk;

export declare function cutExtents(bitmap: Uint8Array, start: number, end: number, blockStart: number, dataOffset: number, visitor: ExtentVisitor): void;

export declare function decodeLocatorPath(platform: string, bytes: Uint8Array): string | undefined;

export declare const disagreements: ReadonlySet<string>;

export declare function diskOf(source: ByteSource, layout: VhdLayout): ChainDisk;

export declare const epochSeconds = 946684800;

export declare function examineLayout(source: ByteSource): Promise<VhdLayout | UnreadableVhd>;

export declare function findFooter(source: ByteSource): Promise<FoundFooter | VhdIssue>;

export declare const footerBytes = 512;

export declare function hasSector(bitmap: Uint8Array, sector: number): boolean;

export declare const headerBytes = 1024;

export declare function isFull(bitmap: Uint8Array, sectors: number): boolean;

export declare function isUsable(footer: FooterFields): footer is VhdFooter;

export declare function judgeChain(disks: readonly ChainDisk[], rules: ChainRules, complete?: boolean): void;

export declare const locatorBytes = 24;

export declare const locatorsOffset = 576;

export declare function markSectors(bitmap: Uint8Array, start: number, end: number): void;

export declare const maximumDiskBytes: number;

export declare const maximumLocatorBytes = 16384;

export declare function openVhd(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VhdDisk>;

export declare function openVhdChain(readers: readonly ChainReader[], options?: OpenDiskOptions & ChainRules): Promise<Disk>;

export declare function parseVhdFooter(given: Uint8Array): FooterFields;

export declare function rawDisk(source: ByteSource): ChainDisk;

export declare function readBytes(source: ByteSource, offset: number, length: number): Promise<Uint8Array>;

export declare function readExtents(disks: readonly ChainDisk[], extents: readonly ChainExtent[], buffer: Uint8Array, base: number, scratch: Uint8Array[]): Promise<void>;

export declare function readVhdLayout(source: ByteSource, trustEndFooter?: boolean): Promise<VhdLayout>;

export declare function readWhole(reading: Promise<number>, target: Uint8Array, offset: number, path?: string): Promise<void>;

export declare function resolveRange(disks: readonly ChainDisk[], start: number, end: number): Promise<ChainExtent[]>;

export declare function roundUp(value: number, unit: number): number;

export declare const sectorBytes = 512;

export declare function sourceOf(reader: RandomAccessReader): ByteSource;

export declare const unallocated = 4294967295;

export declare function viewOf(bytes: Uint8Array): DataView;

export declare const zeroUuid = "00000000-0000-0000-0000-000000000000";

export type {
  Batmap,
  ByteSource,
  ChainDisk,
  ChainRules,
  DiskGeometry,
  DynamicLayout,
  FooterOrigin,
  LocatorEntry,
  UnreadableVhd,
  VhdDisk,
  VhdErrorInit,
  VhdFooter,
  VhdIssue,
  VhdIssueSeverity,
  VhdLayout,
  VhdType,
};
