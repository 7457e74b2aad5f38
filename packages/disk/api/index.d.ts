import {
  ByteSink,
  CallOptions,
  Disk,
  EncodedImage,
  Envelope,
  Extent,
  ImageError,
  Layout,
  RandomAccessReader,
  Refusal,
  Target,
} from "@disk-image/core";

import {
  FileHandle,
} from "node:fs/promises";

interface Argon2 {
  readonly type: "argon2i" | "argon2id";
  readonly passes: number;
  readonly memoryBytes: number;
  readonly lanes: number;
  readonly salt: Uint8Array;
}

interface Batmap {
  readonly headerOffset: number;
  readonly mapOffset: number;
  readonly mapBytes: number;
  readonly intact: boolean;
}

type ChainReader = RandomAccessReader | RawReader;

interface ChainRules {
  readonly checkParentIds?: boolean | undefined;
  readonly trustEndFooter?: boolean | undefined;
}

interface DecodeWorkers extends AsyncDisposable {
  close(): Promise<void>;
}

export declare class DiskChangedError extends ImageError {
  readonly code = "DISK_CHANGED";
  readonly kind = "failed";
  constructor(reason: string, offset: number);
}

export declare class DiskFormatError extends RefusedImageError {
  readonly code = "DISK_FORMAT";
  constructor(init: DiskFormatErrorInit);
}

interface DiskFormatErrorInit extends Omit<Refusal, "ok"> {
  readonly cause?: unknown;
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

type EncodableFormat = "luks" | "parallels" | "qcow2" | "raw" | "vdi" | "vhdx" | "vmdk" | "vpc";

interface EncodeDiskOptions extends EncodeOptions {
  readonly format: EncodableFormat;
}

interface EncodeOptions extends CallOptions {
  readonly subformat?: string | undefined;
  readonly sizeBytes?: number | undefined;
  readonly measure?: boolean | undefined;
  readonly compressionLevel?: number | undefined;
  readonly workers?: number | EncodeWorkers | undefined;
  readonly spool?: Spool | undefined;
  readonly qcow2?: Qcow2EncodeOptions | undefined;
  readonly vmdk?: VmdkEncodeOptions | undefined;
  readonly luks?: LuksEncodeOptions | undefined;
  readonly vpc?: VhdEncodeOptions | undefined;
  readonly vhdx?: VhdxEncodeOptions | undefined;
  readonly vdi?: VdiEncodeOptions | undefined;
}

interface EncodeWorkers extends AsyncDisposable {
  close(): Promise<void>;
}

type EnvelopeName = "gzip" | "zstd" | "xz" | "bzip2" | "tar";

interface FileRange {
  readonly offset: number;
  readonly length: number;
}

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

interface LuksDisk extends Disk {
  readonly layout: LuksLayout;
  readonly keySlot: number;
}

interface LuksEncodeOptions {
  readonly passphrase: Uint8Array;
  readonly version?: 1 | 2 | undefined;
  readonly cipher?: string | undefined;
  readonly keyBytes?: number | undefined;
  readonly hash?: string | undefined;
  readonly keyDerivation?: "pbkdf2" | "argon2id" | undefined;
  readonly keyDerivationMs?: number | undefined;
  readonly iterations?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly sectorBytes?: number | undefined;
  readonly random?: ((bytes: number) => Uint8Array) | undefined;
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

interface MemberSink extends ByteSink {
  end?(): Promise<void> | void;
}

interface OpenDiskOptions {
  readonly signal?: AbortSignal | undefined;
}

interface OpenLuksOptions extends LuksLimits {
  readonly passphrase: Uint8Array;
  readonly signal?: AbortSignal | undefined;
}

interface OpenRawOptions extends OpenDiskOptions {
  readonly holes?: Iterable<FileRange> | AsyncIterable<FileRange> | undefined;
}

interface OvaContent {
  readonly machine: OvaMachine;
  readonly disks: readonly OvaDisk[];
}

type OvaController = "buslogic" | "ide" | "lsilogic" | "lsilogicsas" | "nvme" | "pvscsi" | "sata";

interface OvaDisk {
  readonly name: string;
  readonly disk: Disk;
}

interface OvaMachine {
  readonly name: string;
  readonly controller?: OvaController | undefined;
  readonly firmware?: "bios" | "efi" | undefined;
  readonly operatingSystem?: string | undefined;
  readonly memoryMiB?: number | undefined;
  readonly processors?: number | undefined;
  readonly hardwareVersion?: number | undefined;
}

type OvaOptions = Pick<EncodeOptions, "compressionLevel" | "workers" | "spool" | keyof CallOptions>;

interface Ovf {
  readonly name: string | undefined;
  readonly operatingSystem: string | undefined;
  readonly firmware: string | undefined;
  readonly memoryMiB: number | undefined;
  readonly processors: number | undefined;
  readonly disks: readonly OvfDisk[];
}

interface OvfDisk {
  readonly id: string;
  readonly name: string | undefined;
  readonly file: string | undefined;
  readonly capacityBytes: number | undefined;
  readonly isGzip: boolean;
  readonly isDelta: boolean;
  readonly bus: string | undefined;
  readonly controllerModel: string | undefined;
}

interface ParallelsDisk extends Disk {
  readonly layout: ParallelsLayout;
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

interface Qcow2EncodeOptions {
  readonly version?: 2 | 3 | undefined;
  readonly clusterSizeBytes?: number | undefined;
  readonly compression?: "none" | "zlib" | "zstd" | undefined;
}

interface RawDisk extends Disk {
  extents(options?: CallOptions): AsyncIterable<Extent>;
  storedExtents(): Iterable<Extent>;
}

interface RawReader {
  readonly source: RandomAccessReader;
  readonly format: "raw";
}

type ReadableFormat = "parallels" | "qcow2" | "vdi" | "vhdx" | "vmdk" | "vpc";

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

type StreamPlan<L extends Layout = Layout> = {
  readonly supported: true;
  readonly sizeBytes: number | undefined;
  readonly spools?: boolean | undefined;
  readonly layout: L;
} | {
  readonly supported: false;
  readonly reason: string;
};

interface StreamPlanOptions {
  readonly maximumSizeBytes?: number | undefined;
  readonly fileBytes?: number | undefined;
}

interface TarEntry {
  readonly name: string;
  readonly type: string;
  readonly storedBytes: number;
  readonly linkName: string;
  readonly isSparse: boolean;
}

interface TarHandler {
  open(member: TarMember): Promise<MemberSink | undefined> | MemberSink | undefined;
  refuse(reason: string, offset: number, problem: TarProblem): Error;
  judge?(entry: TarEntry, offset: number): void;
}

interface TarMember {
  readonly name: string;
  readonly sizeBytes: number;
  readonly holeBytes: number;
}

type TarProblem = "damaged" | "attributes" | "size" | "sparse" | "kind" | "empty" | "cut" | "trailing";

export declare class TarReader implements Envelope {
  #private;
  constructor(handler: TarHandler);
  write(chunk: Uint8Array): Promise<void>;
  end(): Promise<void>;
  close(): Promise<void>;
  passOver(): number;
}

type UnpackedReceiver = (bytes: Uint8Array) => Promise<void>;

interface UnwrappedImage {
  readonly name: string | undefined;
  readonly sizeBytes: number | undefined;
  readonly described: OvfDisk | undefined;
}

export declare class Unwrapper implements Envelope {
  #private;
  constructor(options: UnwrapperOptions, outer?: {
    readonly unwrapper: Unwrapper;
    readonly member?: UnwrappedImage | undefined;
    readonly sink?: MemberSink | undefined;
  });
  get opened(): readonly EnvelopeName[];
  get ovf(): Ovf | undefined;
  get hasManifest(): boolean;
  get hasCertificate(): boolean;
  passOver(): number;
  write(chunk: Uint8Array): Promise<void>;
  end(): Promise<void>;
  close(): Promise<void>;
}

interface UnwrapperOptions {
  readonly imageId: string;
  readonly expected: "compressed" | "archive" | "containerdisk" | "any";
  readonly maxBytes: number;
  readonly maxRatio?: number | undefined;
  readonly open: (image: UnwrappedImage) => Promise<MemberSink | undefined> | MemberSink | undefined;
  readonly openWithTool?: ((name: "xz" | "bzip2", sink: MemberSink) => Envelope) | undefined;
  readonly onTrailer?: ((trailer: GzipTrailer) => void) | undefined;
}

interface VdiDisk extends Disk {
  readonly layout: VdiLayout;
}

interface VdiEncodeOptions {
  readonly uniqueId?: string | undefined;
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

interface VhdxDisk extends Disk {
  readonly layout: VhdxLayout;
}

interface VhdxEncodeOptions {
  readonly blockBytes?: number | undefined;
  readonly logicalSectorBytes?: number | undefined;
  readonly physicalSectorBytes?: number | undefined;
  readonly uniqueId?: string | undefined;
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

interface VmdkDescriptor {
  readonly createType: string | undefined;
  readonly backingFile: string | undefined;
  readonly encryption: "vmware" | undefined;
  readonly extentCount: number;
  readonly sectors: bigint;
  readonly extents: readonly VmdkExtent[];
}

interface VmdkDisk extends Disk {
  readonly layout: VmdkLayout;
}

interface VmdkEncodeOptions {
  readonly adapterType?: "ide" | "buslogic" | "lsilogic" | "pvscsi" | undefined;
  readonly hardwareVersion?: number | undefined;
  readonly toolsVersion?: number | undefined;
  readonly contentId?: number | undefined;
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

interface VmdkSetDisk extends Disk {
  readonly descriptor: VmdkDescriptor;
}

export declare function createDecodeWorkers(count?: number): DecodeWorkers;

export declare function createEncodeWorkers(count?: number): EncodeWorkers;

export declare const encodableFormats: readonly EncodableFormat[];

export declare function encodeDisk(disk: Disk, options: EncodeDiskOptions): Promise<EncodedImage>;

export declare function encodeOva({ machine, disks }: OvaContent, options?: OvaOptions): Promise<EncodedImage>;

export declare function envelopeOf(head: Uint8Array): EnvelopeName | undefined;

export declare function gzipImage(image: Pick<EncodedImage, "format" | "temporaryBytes" | "open">, options?: Pick<EncodeOptions, "compressionLevel" | "workers">): EncodedImage;

export declare function machineOfProperties(name: string, properties: Readonly<Record<string, unknown>>): OvaMachine;

export declare function openDisk(reader: RandomAccessReader, format: ReadableFormat, options?: OpenDiskOptions): Promise<Disk>;

export declare function openLuks(reader: RandomAccessReader, options: OpenLuksOptions): Promise<LuksDisk>;

export declare function openParallels(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<ParallelsDisk>;

export declare function openRaw(reader: RandomAccessReader, options?: OpenRawOptions): Promise<RawDisk>;

export declare function openStreamDecoder(layout: Layout, options: StreamDecoderOptions): Promise<StreamDecoder>;

export declare function openVdi(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VdiDisk>;

export declare function openVhd(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VhdDisk>;

export declare function openVhdChain(readers: readonly ChainReader[], options?: OpenDiskOptions & ChainRules): Promise<Disk>;

export declare function openVhdx(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VhdxDisk>;

export declare function openVmdk(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VmdkDisk>;

export declare function openVmdkSet(descriptor: RandomAccessReader, files: ReadonlyMap<string, RandomAccessReader>, options?: OpenDiskOptions): Promise<VmdkSetDisk>;

export declare function planStream(format: string, head: Uint8Array, options?: StreamPlanOptions): StreamPlan;

export declare function readVhdxLayout(reader: RandomAccessReader): Promise<VhdxLayout>;

export declare const readableFormats: readonly ReadableFormat[];

export declare const streamFormats: readonly string[];

export type {
  ChainReader,
  ChainRules,
  DecodeWorkers,
  DiskFormatErrorInit,
  EncodableFormat,
  EncodeDiskOptions,
  EncodeOptions,
  EncodeWorkers,
  EnvelopeName,
  FileRange,
  GzipProblem,
  GzipTrailer,
  LuksDisk,
  LuksEncodeOptions,
  LuksLayout,
  MemberSink,
  OpenDiskOptions,
  OpenLuksOptions,
  OpenRawOptions,
  OvaContent,
  OvaController,
  OvaDisk,
  OvaMachine,
  OvaOptions,
  Ovf,
  OvfDisk,
  ParallelsDisk,
  ParallelsLayout,
  Qcow2EncodeOptions,
  RawDisk,
  RawReader,
  ReadableFormat,
  Spool,
  StreamDecoder,
  StreamDecoderOptions,
  StreamDecoderResult,
  StreamPlan,
  StreamPlanOptions,
  TarEntry,
  TarHandler,
  TarMember,
  TarProblem,
  UnwrappedImage,
  UnwrapperOptions,
  VdiDisk,
  VdiEncodeOptions,
  VdiLayout,
  VhdDisk,
  VhdEncodeOptions,
  VhdErrorInit,
  VhdLayout,
  VhdxDisk,
  VhdxEncodeOptions,
  VhdxLayout,
  VmdkDisk,
  VmdkEncodeOptions,
  VmdkHeader,
  VmdkLayout,
  VmdkSetDisk,
};
