import {
  CallOptions,
  Disk,
  ImageError,
  Layout,
  RandomAccessReader,
  Refusal,
  Target,
} from "@disk-image/core";

import {
  FileHandle,
} from "node:fs/promises";

interface DecodeWorkers extends AsyncDisposable {
  close(): Promise<void>;
}

export declare class DiskFormatError extends ImageError {
  readonly code = "DISK_FORMAT";
  readonly kind = "refused";
  readonly rule: string;
  readonly reason: string;
  readonly found: string | undefined;
  readonly offset: number | undefined;
  readonly accepted: string | undefined;
  constructor(init: DiskFormatErrorInit);
}

interface DiskFormatErrorInit extends Omit<Refusal, "ok"> {
  readonly cause?: unknown;
}

interface FileRange {
  readonly offset: number;
  readonly length: number;
}

interface OpenDiskOptions {
  readonly signal?: AbortSignal | undefined;
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

type ReadableFormat = "parallels" | "qcow2" | "vdi" | "vhdx" | "vmdk";

interface Spool {
  readonly file: string | FileHandle;
  write(chunk: Uint8Array, offset: number): Promise<void>;
}

interface StreamDecoder {
  write(chunk: Uint8Array, offset: number): Promise<void>;
  end(): Promise<StreamDecoderResult>;
  close(): Promise<void>;
}

interface StreamDecoderOptions extends CallOptions {
  readonly target: Pick<Target, "write" | "zero">;
  readonly spool: Spool;
  readonly writeZeros?: boolean | undefined;
  readonly workers?: number | DecodeWorkers | undefined;
}

interface StreamDecoderResult {
  readonly virtualSizeBytes: number;
  readonly bytesWritten: number;
}

type StreamPlan<L extends Layout = Layout> = {
  readonly supported: true;
  readonly sizeBytes: number | undefined;
  readonly layout: L;
} | {
  readonly supported: false;
  readonly reason: string;
};

interface StreamPlanOptions {
  readonly maximumSizeBytes?: number | undefined;
}

interface VdiDisk extends Disk {
  readonly layout: VdiLayout;
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

interface VhdxDisk extends Disk {
  readonly layout: VhdxLayout;
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

interface VmdkExtent {
  readonly access: string;
  readonly type: string;
  readonly name: string | undefined;
  readonly offset: number;
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

export declare function createDecodeWorkers(count?: number): DecodeWorkers;

export declare function openDisk(reader: RandomAccessReader, format: ReadableFormat, options?: OpenDiskOptions): Promise<Disk>;

export declare function openParallels(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<ParallelsDisk>;

export declare function openStreamDecoder(layout: Layout, options: StreamDecoderOptions): Promise<StreamDecoder>;

export declare function openVdi(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VdiDisk>;

export declare function openVhdx(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VhdxDisk>;

export declare function openVmdk(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VmdkDisk>;

export declare function planStream(format: string, head: Uint8Array, options?: StreamPlanOptions): StreamPlan;

export declare function readVhdxLayout(reader: RandomAccessReader): Promise<VhdxLayout>;

export declare const readableFormats: readonly ReadableFormat[];

export declare const streamFormats: readonly string[];

export type {
  DecodeWorkers,
  DiskFormatErrorInit,
  FileRange,
  OpenDiskOptions,
  ParallelsDisk,
  ParallelsLayout,
  ReadableFormat,
  Spool,
  StreamDecoder,
  StreamDecoderOptions,
  StreamDecoderResult,
  StreamPlan,
  StreamPlanOptions,
  VdiDisk,
  VdiLayout,
  VhdxDisk,
  VhdxLayout,
  VmdkDisk,
  VmdkHeader,
  VmdkLayout,
};
