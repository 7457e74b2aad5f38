import {
  CallOptions,
  Disk,
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

interface BitmapDirectory {
  readonly count: number;
  readonly offset: number;
  readonly bytes: number;
}

interface ClusterEntry {
  readonly kind: "unallocated" | "zero" | "normal" | "compressed";
  readonly hostOffset: number;
  readonly hostLength: number;
}

interface DecodeQcow2Options extends CallOptions, StreamPlanOptions {
  readonly source: string | FileHandle;
  readonly target: Pick<Target, "write">;
  readonly workers?: number | DecodeWorkers | undefined;
}

interface DecodeWorkers extends AsyncDisposable {
  close(): Promise<void>;
}

interface OpenQcow2Options extends StreamPlanOptions {
  readonly passphrase?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

export declare class Qcow2DecodeError extends RefusedImageError {
  readonly code = "QCOW2_DECODE";
  constructor(init: Qcow2DecodeErrorInit);
}

interface Qcow2DecodeErrorInit extends Refusal {
  readonly cause?: unknown;
}

interface Qcow2DecodeResult extends StreamDecoderResult {
  readonly clusters: Readonly<Record<ClusterEntry["kind"], number>>;
}

interface Qcow2Disk extends Disk {
  readonly virtualSizeBytes: number;
  readonly clusterSize: number;
  readonly isEncrypted: boolean;
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  extents(options?: CallOptions): AsyncIterable<Extent>;
  stream(options?: Qcow2ReadOptions): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
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

interface Qcow2ReadOptions {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  readonly chunkSizeBytes?: number | undefined;
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

export declare function decodeQcow2(options: DecodeQcow2Options): Promise<Qcow2DecodeResult>;

export declare function openQcow2(reader: RandomAccessReader, options?: OpenQcow2Options): Promise<Qcow2Disk>;

export declare function planQcow2(head: Uint8Array, options?: StreamPlanOptions): StreamPlan<Qcow2Layout>;

export type {
  DecodeQcow2Options,
  OpenQcow2Options,
  Qcow2DecodeErrorInit,
  Qcow2DecodeResult,
  Qcow2Disk,
  Qcow2ReadOptions,
};
