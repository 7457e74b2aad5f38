import {
  Disk,
  ImageError,
  RandomAccessReader,
  Refusal,
} from "@disk-image/core";

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

interface ParallelsLayout {
  readonly format: "parallels";
  readonly magic: "WithoutFreeSpace" | "WithouFreSpacExt";
  readonly sizeBytes: number;
  readonly clusterBytes: number;
  readonly entries: number;
  readonly tableOffset: number;
  readonly placeUnitBytes: number;
  readonly extensionOffset: number | undefined;
}

type ReadableFormat = "parallels" | "qcow2" | "vdi" | "vhdx" | "vmdk";

interface VdiDisk extends Disk {
  readonly layout: VdiLayout;
}

interface VdiLayout {
  readonly format: "vdi";
  readonly kind: "dynamic" | "fixed";
  readonly sizeBytes: number;
  readonly blockBytes: number;
  readonly blocks: number;
  readonly mapOffset: number;
  readonly dataOffset: number;
}

interface VhdxDisk extends Disk {
  readonly layout: VhdxLayout;
}

interface VhdxLayout {
  readonly format: "vhdx";
  readonly sizeBytes: number;
  readonly blockBytes: number;
  readonly sectorBytes: 512 | 4096;
  readonly blocksPerRun: number;
  readonly tableOffset: number;
  readonly reserved: readonly FileRange[];
}

interface VmdkDisk extends Disk {
  readonly layout: VmdkLayout;
}

interface VmdkHeader {
  readonly sizeBytes: number;
  readonly grainBytes: number;
  readonly tableEntries: number;
  readonly descriptorOffset: number;
  readonly descriptorSectors: number;
  readonly directoryOffset: number;
  readonly directoryEntries: number;
  readonly marksZero: boolean;
  readonly compressed: boolean;
}

interface VmdkLayout extends VmdkHeader {
  readonly format: "vmdk";
  readonly createType: "monolithicSparse" | "streamOptimized";
  readonly metadataEnd: number;
}

export declare function openDisk(reader: RandomAccessReader, format: ReadableFormat, options?: OpenDiskOptions): Promise<Disk>;

export declare function openParallels(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<ParallelsDisk>;

export declare function openVdi(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VdiDisk>;

export declare function openVhdx(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VhdxDisk>;

export declare function openVmdk(reader: RandomAccessReader, options?: OpenDiskOptions): Promise<VmdkDisk>;

export declare function readVhdxLayout(reader: RandomAccessReader): Promise<VhdxLayout>;

export declare const readableFormats: readonly ReadableFormat[];

export type {
  DiskFormatErrorInit,
  FileRange,
  OpenDiskOptions,
  ParallelsDisk,
  ParallelsLayout,
  ReadableFormat,
  VdiDisk,
  VdiLayout,
  VhdxDisk,
  VhdxLayout,
  VmdkDisk,
  VmdkHeader,
  VmdkLayout,
};
