import {
  CallOptions,
  Disk,
  EncodedImage,
  ImageError,
  Layout,
  RandomAccessReader,
  Refusal,
  Target,
} from "@disk-image/core";

import {
  FileHandle,
} from "node:fs/promises";

interface Batmap {
  readonly headerOffset: number;
  readonly mapOffset: number;
  readonly mapBytes: number;
  readonly intact: boolean;
}

interface BlockAllocator {
  next(): number;
  end(): number;
  endAfter(count: number): number;
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

interface ChainPart {
  readonly covered: CoveredSectors;
  readonly keeps: boolean;
  judge(disk: ChainDisk): Promise<void>;
}

type ChainReader = RandomAccessReader | RawReader;

interface ChainRules {
  readonly checkParentIds?: boolean | undefined;
  readonly trustEndFooter?: boolean | undefined;
}

export declare class CoveredSectors {
  #private;
  readonly sizeBytes: number;
  constructor(sizeBytes: number);
  claim(bitmap: Uint8Array, start: number, end: number, keeps: boolean): void;
  take(start: number, end: number, keeps: boolean): [from: number, to: number][];
  isFree(start: number, end: number): boolean;
}

declare class DataMap {
  #private;
  readonly units: number;
  count: number;
  private constructor();
  static read(disk: Pick<Disk, "size" | "extents">, unitBytes: number, { signal, onProgress }?: CallOptions): Promise<DataMap>;
  has(unit: number): boolean;
  rank(unit: number): number;
  runs(start?: number, end?: number): Generator<UnitRun, void, void>;
}

interface DecodeWorkers extends AsyncDisposable {
  close(): Promise<void>;
}

interface DiskGeometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

interface DynamicHead {
  readonly footer: VhdFooter;
  readonly header: VhdHeader;
  readonly headerOffset: number;
  readonly headerBytes: Uint8Array;
  readonly blockCount: number;
  readonly bitmapBytes: number;
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

export declare class DynamicVhdWriter {
  #private;
  constructor(target: Pick<Target, "write">, diskBytes: number, options: VhdEncodeOptions);
  data(offset: number, bytes: Uint8Array): Promise<void>;
  end(sync: () => Promise<void>): Promise<number>;
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

interface NewDisk {
  readonly type: VhdType;
  readonly sizeBytes: number;
  readonly style: VhdStyle;
  readonly blockSizeBytes?: number | undefined;
  readonly uniqueId: string;
  readonly createdMs: number;
}

interface NewDiskMetadata {
  readonly footer: Uint8Array;
  readonly header: Uint8Array;
  readonly bytes: Uint8Array;
  readonly tableOffset: number;
  readonly blockSizeBytes: number;
  readonly batmapOffset: number | undefined;
  readonly entries: number;
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

interface SizedImage extends EncodedImage {
  readonly sizeBytes: number;
}

interface Spool {
  readonly file: string | FileHandle;
  readonly memoryBytes?: number | undefined;
  write(chunk: Uint8Array, offset: number): Promise<void>;
}

interface StreamDecoder {
  write(chunk: Uint8Array, offset: number): Promise<void>;
  end(): Promise<StreamDecoderResult>;
  close(): Promise<void>;
}

interface StreamDecoderOptions extends CallOptions {
  readonly target: Pick<Target, "write" | "zero">;
  readonly onSize?: ((sizeBytes: number | undefined) => Promise<void>) | undefined;
  readonly spool: Spool;
  readonly writeZeros?: boolean | undefined;
  readonly workers?: number | DecodeWorkers | undefined;
  readonly passphrase?: Uint8Array | undefined;
}

interface StreamDecoderResult {
  readonly virtualSizeBytes: number;
  readonly bytesWritten: number;
}

interface UnitRun {
  readonly first: number;
  readonly count: number;
}

interface UnreadableVhd {
  readonly found: FoundFooter | undefined;
  readonly problems: readonly VhdIssue[];
}

interface VhdDisk extends Disk {
  readonly layout: VhdLayout;
}

interface VhdEncodeOptions {
  readonly style?: "xenserver" | "windows" | undefined;
  readonly uniqueId?: string | undefined;
  readonly createdMs?: number | undefined;
  readonly alignBytes?: number | undefined;
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

interface VhdHead extends Layout {
  readonly format: "vhd";
  readonly sizeBytes: number;
  readonly dynamic: DynamicHead | undefined;
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

type VhdStyle = NonNullable<VhdEncodeOptions["style"]>;

type VhdType = "fixed" | "dynamic" | "differencing";

export declare function batmapBytes(maximumEntries: number): number;

export declare function checksum(bytes: Uint8Array, fieldOffset?: number): number;

export declare function createBlockAllocator(endOfData: number, bitmapBytes: number, blockBytes: number): BlockAllocator;

export declare function createChainDisk(disks: readonly ChainDisk[], signal?: AbortSignal): Disk;

export declare function cutExtents(bitmap: Uint8Array, start: number, end: number, blockStart: number, dataOffset: number, visitor: ExtentVisitor): void;

export declare function decodeLocatorPath(platform: string, bytes: Uint8Array): string | undefined;

export declare const defaultBlockBytes: number;

export declare const disagreements: ReadonlySet<string>;

export declare function diskOf(source: ByteSource, layout: VhdLayout): ChainDisk;

export declare function encodeBatmapHeader(headerOffset: number, map: Uint8Array): Uint8Array;

export declare function encodeDynamicVhd(disk: Disk, map: DataMap, options: VhdEncodeOptions): SizedImage;

export declare function encodeFixedVhd(disk: Disk, options: VhdEncodeOptions): SizedImage;

export declare function encodeLocatorPath(platform: "MacX" | "W2ru" | "W2ku", relativePath: string): Uint8Array;

export declare const epochSeconds = 946684800;

export declare function examineLayout(source: ByteSource): Promise<VhdLayout | UnreadableVhd>;

export declare function findFooter(source: ByteSource): Promise<FoundFooter | VhdIssue>;

export declare function fixedVhd(diskBytes: number, { alignBytes, style, ...identity }: VhdEncodeOptions): {
  readonly sizeBytes: number;
  readonly footer: Uint8Array;
};

export declare const footerBytes = 512;

export declare function geometryBytes({ cylinders, heads, sectorsPerTrack }: DiskGeometry): number;

export declare function geometryOf(sizeBytes: number): DiskGeometry;

export declare function hasSector(bitmap: Uint8Array, sector: number): boolean;

export declare const headerBytes = 1024;

export declare function isFull(bitmap: Uint8Array, sectors: number): boolean;

export declare function isUsable(footer: FooterFields): footer is VhdFooter;

export declare function judgeChain(disks: readonly ChainDisk[], rules: ChainRules, complete?: boolean): void;

export declare function layOut(disk: NewDisk): NewDiskMetadata;

export declare const locatorBytes = 24;

export declare const locatorsOffset = 576;

export declare function mapVhdBlocks(disk: Pick<Disk, "size" | "extents">, options: CallOptions): Promise<DataMap>;

export declare function markSectors(bitmap: Uint8Array, start: number, end: number): void;

export declare const maximumDiskBytes: number;

export declare const maximumLocatorBytes = 16384;

export declare function openDynamicVhdStream(head: DynamicHead, options: StreamDecoderOptions, chain?: ChainPart): Promise<StreamDecoder>;

export declare function openVhd(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VhdDisk>;

export declare function openVhdChain(readers: readonly ChainReader[], options?: OpenDiskOptions & ChainRules): Promise<Disk>;

export declare function parseUuid(text: string): Uint8Array;

export declare function parseVhdFooter(given: Uint8Array): FooterFields;

export declare function parseVhdHead(head: Uint8Array, mayHaveParent?: boolean): VhdHead;

export declare function rawDisk(source: ByteSource): ChainDisk;

export declare function readBytes(source: ByteSource, offset: number, length: number): Promise<Uint8Array>;

export declare function readExtents(disks: readonly ChainDisk[], extents: readonly ChainExtent[], buffer: Uint8Array, base: number, scratch: Uint8Array[]): Promise<void>;

export declare function readVhdLayout(source: ByteSource, trustEndFooter?: boolean): Promise<VhdLayout>;

export declare function readWhole(reading: Promise<number>, target: Uint8Array, offset: number, path?: string): Promise<void>;

export declare function resolveRange(disks: readonly ChainDisk[], start: number, end: number): Promise<ChainExtent[]>;

export declare function roundUp(value: number, unit: number): number;

export declare function sealHeader(bytes: Uint8Array): Uint8Array;

export declare const sectorBytes = 512;

export declare function sourceOf(reader: RandomAccessReader): ByteSource;

export declare const unallocated = 4294967295;

export declare function viewOf(bytes: Uint8Array): DataView;

export declare function withSize(footer: Uint8Array, sizeBytes: number): Uint8Array;

export declare function withUniqueId(footer: Uint8Array, uniqueId: string): Uint8Array;

export declare function writeLocatorEntry(header: Uint8Array, entry: LocatorEntry): void;

export declare function writeParentName(header: Uint8Array, name: string): void;

export declare function writeUncovered(disk: ChainDisk, [start, end]: readonly [start: number, end: number], { covered, keeps }: {
  readonly covered: CoveredSectors;
  readonly keeps: boolean;
}, write: (bytes: Uint8Array, offset: number) => Promise<void>): Promise<void>;

export declare const zeroUuid = "00000000-0000-0000-0000-000000000000";

export type {
  Batmap,
  BlockAllocator,
  ByteSource,
  ChainDisk,
  ChainPart,
  ChainRules,
  DiskGeometry,
  DynamicHead,
  DynamicLayout,
  FooterFields,
  FooterOrigin,
  LocatorEntry,
  NewDisk,
  NewDiskMetadata,
  SizedImage,
  UnreadableVhd,
  VhdDisk,
  VhdErrorInit,
  VhdFooter,
  VhdHead,
  VhdIssue,
  VhdIssueSeverity,
  VhdLayout,
  VhdStyle,
  VhdType,
};
