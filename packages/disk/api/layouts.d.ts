import {
  Layout,
  RandomAccessReader,
  Refusal,
} from "@disk-image/core";

interface Argon2 {
  readonly type: "argon2i" | "argon2id";
  readonly passes: number;
  readonly memoryBytes: number;
  readonly lanes: number;
  readonly salt: Uint8Array;
}

type Asking<Result> = Generator<FileRange, Result, Uint8Array | undefined>;

interface Batmap {
  readonly headerOffset: number;
  readonly mapOffset: number;
  readonly mapBytes: number;
  readonly intact: boolean;
}

interface BitmapDirectory {
  readonly count: number;
  readonly offset: number;
  readonly bytes: number;
}

interface DescriptorLine {
  readonly text: string;
  readonly offset: number;
  readonly tooLong: boolean;
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

export declare class Fields {
  #private;
  readonly bytes: Uint8Array;
  readonly length: number;
  constructor(bytes: Uint8Array);
  u8(at: number): number;
  u16be(at: number): number;
  u16le(at: number): number;
  u32be(at: number): number;
  u32le(at: number): number;
  u64be(at: number): bigint;
  u64le(at: number): bigint;
  has(at: number, expected: string | readonly number[]): boolean;
  isZero(at: number, length: number): boolean;
  text(at: number, length: number): string;
  part(at: number, length: number): Fields;
}

interface FileRange {
  readonly offset: number;
  readonly length: number;
}

type Finding = Omit<Refusal, "rule">;

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

interface HeaderFields {
  readonly clusterSize: number;
  readonly headerLength: number;
  readonly backingOffset: bigint;
  readonly cryptMethod: number;
  readonly exactSizeBytes: bigint;
  readonly autoclear: bigint;
}

interface JudgedHeader {
  readonly header: VhdHeader | undefined;
  readonly problems: readonly Refusal[];
  readonly blockCount: number | undefined;
  readonly bitmapBytes: number;
}

interface LocatorEntry {
  readonly index: number;
  readonly platform: string;
  readonly spaceBytes: number;
  readonly lengthBytes: number;
  readonly offset: number;
}

interface LuksChecksum {
  readonly hash: "sha256" | "sha512";
  readonly bytes: Uint8Array;
  readonly value: Uint8Array;
  readonly offset: number;
}

interface LuksCipher {
  readonly mode: "xts" | "cbc";
  readonly vector: "plain" | "plain64" | "essiv:sha256";
}

interface LuksCrypto {
  readonly kdfs: readonly LuksKdf["type"][];
  digest(hash: LuksHash, bytes: Uint8Array): Promise<Uint8Array>;
  derive(secret: Uint8Array, kdf: LuksKdf, keyBytes: number): Promise<Uint8Array>;
  decrypt(cipher: LuksCipher, key: Uint8Array, bytes: Uint8Array): Promise<void>;
}

type LuksHash = "sha1" | "sha256" | "sha384" | "sha512";

type LuksKdf = Pbkdf2 | Argon2;

interface LuksKeySlot {
  readonly id: number;
  readonly kdf: LuksKdf;
  readonly cipher: LuksCipher;
  readonly cipherKeyBytes: number;
  readonly areaOffset: number;
  readonly stripeHash: LuksHash;
  readonly digest: Pbkdf2 & {
    readonly value: Uint8Array;
  };
}

interface LuksLayout extends Layout {
  readonly format: "luks";
  readonly version: number;
  readonly cipherName: string;
  readonly cipher: LuksCipher | undefined;
  readonly keyBytes: number;
  readonly slots: readonly LuksKeySlot[];
  readonly payloadOffset: number;
  readonly sectorBytes: number;
  readonly vectorOffset: number;
  readonly checksums: readonly LuksChecksum[];
  readonly unsupported: readonly Refusal[];
  readonly otherSlots: readonly Refusal[];
}

interface LuksLimits {
  readonly maxIterations?: number | undefined;
  readonly maxMemoryBytes?: number | undefined;
}

export declare class LuksRefusal extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal);
}

interface ParallelsLayout extends Layout {
  readonly format: "parallels";
  readonly version: number;
  readonly magic: "WithoutFreeSpace" | "WithouFreSpacExt";
  readonly exactSizeBytes: bigint;
  readonly clusterBytes: number;
  readonly entries: number;
  readonly tableOffset: number;
  readonly placeUnitBytes: number;
  readonly extensionSector: bigint;
}

interface Pbkdf2 {
  readonly type: "pbkdf2";
  readonly hash: LuksHash;
  readonly iterations: number;
  readonly salt: Uint8Array;
}

interface PlacedFooter {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

export declare class Problems {
  #private;
  readonly list: Refusal[];
  constructor(format: string);
  add(check: string, finding: Finding): void;
  has(check: string): boolean;
}

interface Qcow2Extensions {
  readonly extensionsEnd: boolean;
  readonly backingFileFormat?: string | undefined;
  readonly dataFile?: string | undefined;
  readonly luks?: {
    readonly offset: bigint;
    readonly length: bigint;
  } | undefined;
  readonly bitmapCount?: number | undefined;
  readonly bitmaps?: BitmapDirectory | undefined;
}

interface Qcow2Layout extends Layout, Qcow2Extensions {
  readonly format: "qcow2";
  readonly version: number;
  readonly exactSizeBytes: bigint;
  readonly clusterBits: number;
  readonly clusterSize: number;
  readonly headerLength: number;
  readonly backingOffset: bigint;
  readonly backingLength: number;
  readonly backingFile: string;
  readonly cryptMethod: number;
  readonly l1Offset: bigint;
  readonly l1Entries: number;
  readonly refcountTableOffset: bigint;
  readonly refcountTableClusters: number;
  readonly refcountOrder: number;
  readonly snapshotsOffset: bigint;
  readonly snapshotCount: number;
  readonly incompatible: bigint;
  readonly autoclear: bigint;
  readonly compressionType: number;
  readonly compression: "zlib" | "zstd";
  readonly isCompressionKnown: boolean;
  readonly extendedL2: boolean;
  readonly hasDataFile: boolean;
}

interface SnapshotEntry {
  readonly l1Offset: bigint;
  readonly l1Entries: number;
  readonly extraBytes: number;
  readonly length: number;
}

export declare class TableScan {
  #private;
  blocks: number;
  problem: Refusal | undefined;
  add(piece: Uint8Array, at: number): void;
  addEntry(sector: number, at: number): void;
  judgeEnd(layout: TableShape, fileBytes: number): Refusal | undefined;
}

interface TableShape {
  readonly tableOffset: number;
  readonly entries: number;
  readonly blockBytes: number;
  readonly bitmapBytes: number;
}

interface VdiLayout extends Layout {
  readonly format: "vdi";
  readonly version: number;
  readonly kind: string | undefined;
  readonly exactSizeBytes: bigint;
  readonly blockBytes: number;
  readonly blockExtraBytes: number;
  readonly blocks: number;
  readonly mapOffset: number;
  readonly dataOffset: number;
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

interface VhdxHead {
  readonly version: number | undefined;
  readonly regions: VhdxRegions | undefined;
  readonly problems: readonly Refusal[];
}

interface VhdxLayout extends Layout {
  readonly format: "vhdx";
  readonly blockBytes: number;
  readonly sectorBytes: number;
  readonly blocksPerRun: number;
  readonly tableOffset: number;
  readonly entries: number;
  readonly reserved: readonly FileRange[];
}

interface VhdxMetadata {
  readonly sizeBytes: bigint | undefined;
  readonly blockBytes: number;
  readonly sectorBytes: number;
  readonly isSized: boolean;
  readonly backingFile: string | undefined;
  readonly problems: readonly Refusal[];
}

interface VhdxRegion {
  readonly offset: bigint;
  readonly length: number;
}

interface VhdxRegions {
  readonly bat: VhdxRegion;
  readonly metadata: VhdxRegion;
  readonly all: readonly VhdxRegion[];
}

interface VmdkDescriptor {
  readonly createType: string | undefined;
  readonly backingFile: string | undefined;
  readonly encryption: "vmware" | undefined;
  readonly extentCount: number;
  readonly sectors: bigint;
  readonly extents: readonly VmdkExtent[];
}

interface VmdkEnd {
  readonly header: VmdkHeader | undefined;
  readonly problems: readonly Refusal[];
}

interface VmdkExtent {
  readonly access: string;
  readonly type: string;
  readonly name: string | undefined;
  readonly fileName: string | undefined;
  readonly sectors: bigint;
  readonly firstSector: bigint;
  readonly offset: number;
  readonly oddity: string | undefined;
}

interface VmdkHeader {
  readonly magic: string;
  readonly version: number;
  readonly flags: number;
  readonly capacity: bigint;
  readonly grainSize: bigint;
  readonly descriptorOffset: bigint;
  readonly descriptorSize: bigint;
  readonly tableEntries: number;
  readonly redundantDirectory: bigint;
  readonly directory: bigint;
  readonly overhead: bigint;
  readonly unclean: boolean;
  readonly compression: number;
}

interface VmdkKinds {
  readonly types: readonly string[];
  readonly mostExtents: number;
}

interface VmdkLayout extends Layout {
  readonly format: "vmdk";
  readonly exactSizeBytes: bigint;
  readonly header: VmdkHeader;
  readonly descriptor: VmdkDescriptor | undefined;
  readonly createType: string | undefined;
  readonly isCompressed: boolean;
  readonly grainBytes: number;
  readonly metadataEnd: number;
}

declare const activeSlot = 11301363;

export declare const atEndMark: bigint;

export declare function checkBitmaps(directory: Uint8Array | undefined, { count, offset, bytes }: BitmapDirectory, header: Pick<HeaderFields, "clusterSize" | "exactSizeBytes">, problems: Problems): void;

export declare const compressedHigh: number;

export declare function compressedOffsetBits(clusterBits: number): number;

export declare function crc32c(bytes: Uint8Array, field: number): number;

export declare function createVhdxLayout(headProblems: VhdxHead["problems"], { bat, all }: VhdxRegions, metadata: VhdxMetadata): VhdxLayout;

export declare function descriptorLines(fields: Fields, start: number, length: number): Generator<DescriptorLine>;

export declare function entryOffset(high: number, low: number): number;

export declare const entryOffsetHigh = 16777215;

declare const footerBytes = 512;

export declare function footerLikeAtEnd(tail: Uint8Array, fileBytes: number): PlacedFooter | undefined;

declare const headerBytes = 1024;

export declare function hex(value: number | bigint): string;

export declare function isVhdFooter(bytes: Uint8Array): boolean;

export declare function judgeFixedSize({ currentSize }: FooterFields, dataBytes: number, offset: number): Refusal | undefined;

export declare function judgeFootersAgree(head: Uint8Array, last: PlacedFooter): Refusal | undefined;

export declare function judgeVhdFooter(footer: FooterFields, offset: number): Refusal[];

export declare const l1ReservedHigh: number;

export declare const layoutHeadBytes: number;

export declare const longestDescriptor: number;

export declare const luks1Bytes = 592;

export declare function luksHeadBytes(head: Uint8Array): number;

export declare const mostSnapshotExtraBytes = 1024;

export declare const mostSnapshotTableBytes: number;

export declare const mostSnapshots = 65536;

export declare const oneVmdkFile = "`disk-image convert --from vmdk --to raw DESCRIPTOR.vmdk PART… DISK.raw`";

export declare function parseLuks(head: Uint8Array, fileBytes: number): LuksLayout;

export declare function parseParallels(head: Uint8Array): ParallelsLayout;

export declare function parseQcow2(head: Uint8Array): Qcow2Layout;

export declare function parseVdi(head: Uint8Array): VdiLayout;

export declare function parseVhdFooter(given: Uint8Array): FooterFields;

export declare function parseVhdHeader(bytes: Uint8Array, place: {
  readonly offset: bigint;
  readonly diskBytes: bigint;
  readonly fileBytes?: number | undefined;
}): JudgedHeader;

export declare function parseVhdxHead(bytes: Uint8Array): VhdxHead;

export declare function parseVhdxMetadata(region: VhdxRegion): Asking<VhdxMetadata>;

export declare function parseVmdk(bytes: Uint8Array): VmdkLayout;

export declare function parseVmdkDescriptor(fields: Fields, start: number, length: number, problems: Problems, { types: accepted, mostExtents }?: VmdkKinds): VmdkDescriptor;

export declare function parseVmdkEnd(header: VmdkHeader, tail: Uint8Array, sizeBytes: number): VmdkEnd;

export declare function parseVmdkHeader(fields: Fields): VmdkHeader;

export declare function printable(text: string): string;

export declare function qcow2HeadBytes(head: Uint8Array): number;

export declare function readFully(reader: RandomAccessReader, offset: number, length: number, signal: AbortSignal | undefined, into?: Uint8Array): Promise<Uint8Array>;

export declare function readLuksLayout(reader: RandomAccessReader, crypto: LuksCrypto, signal?: AbortSignal): Promise<LuksLayout>;

export declare function readSnapshotEntry(bytes: Uint8Array): SnapshotEntry;

export declare function sameBytes(one: Uint8Array, other: Uint8Array): boolean;

export declare const snapshotEntryBytes = 40;

export declare function startsAsLuks(head: Fields): boolean;

export declare function startsAsParallels(head: Uint8Array): boolean;

export declare function startsAsParallelsExtension(bytes: Uint8Array): boolean;

export declare function unlockLuks(reader: RandomAccessReader, layout: LuksLayout, passphrase: Uint8Array, crypto: LuksCrypto, options?: LuksLimits & {
  readonly signal?: AbortSignal | undefined;
}): Promise<{
  readonly key: Uint8Array;
  readonly keySlot: number;
}>;

export declare const vdiDiscarded = 4294967294;

export declare const vhdxHeadBytes: number;

export declare function viewOf(bytes: Uint8Array): DataView;

export declare function vmdkDirectoryEntries(header: VmdkHeader): number | undefined;

export declare function vmdkHeadBytes({ descriptorSize }: VmdkHeader): number;

export declare const vmdkInOneFile: VmdkKinds;

export declare const vmdkInSeveral: VmdkKinds;

export declare const zeroLow = 1;

export {
  type Asking,
  type BitmapDirectory,
  type Finding,
  type FooterFields,
  type JudgedHeader,
  type LuksCipher,
  type LuksCrypto,
  type LuksHash,
  type LuksKdf,
  type LuksKeySlot,
  type LuksLayout,
  type LuksLimits,
  type ParallelsLayout,
  type Pbkdf2,
  type PlacedFooter,
  type Qcow2Extensions,
  type Qcow2Layout,
  type SnapshotEntry,
  type TableShape,
  type VdiLayout,
  type VhdHeader,
  type VhdLayout,
  type VhdxHead,
  type VhdxLayout,
  type VhdxMetadata,
  type VhdxRegion,
  type VhdxRegions,
  type VmdkDescriptor,
  type VmdkEnd,
  type VmdkExtent,
  type VmdkHeader,
  type VmdkKinds,
  type VmdkLayout,
  activeSlot as luksActiveSlot,
  footerBytes as vhdFooterBytes,
  headerBytes as vhdHeaderBytes,
};
