import {
  CallOptions,
  Disk,
  Extent,
  ImageError,
  RandomAccessReader,
} from "@disk-image/core";

import {
  FileHandle,
} from "node:fs/promises";

interface DecodeQcow2Options extends CallOptions, PlanQcow2Options {
  readonly source: string | FileHandle;
  readonly frontier?: Qcow2Frontier | undefined;
  readonly target: Qcow2Target;
  readonly workers?: number | Qcow2Workers | undefined;
}

interface DecodeQcow2StreamOptions extends CallOptions, PlanQcow2Options {
  readonly file: string | FileHandle;
  readonly fileBytes?: number | undefined;
  readonly keep: (chunk: Uint8Array, offset: number) => Promise<void>;
  readonly target: Qcow2Target;
  readonly workers?: number | Qcow2Workers | undefined;
}

interface OpenQcow2Options extends PlanQcow2Options {
  readonly signal?: AbortSignal | undefined;
}

interface PlanQcow2Options {
  readonly maximumVirtualSizeBytes?: number | undefined;
}

export declare class Qcow2DecodeError extends ImageError {
  readonly code = "QCOW2_DECODE";
  readonly kind = "refused";
  readonly rule: string;
  readonly reason: string;
  readonly offset: number | undefined;
  constructor(init: Qcow2DecodeErrorInit);
}

interface Qcow2DecodeErrorInit {
  readonly rule: string;
  readonly reason: string;
  readonly offset?: number | undefined;
  readonly cause?: unknown;
}

interface Qcow2DecodeResult {
  readonly virtualSizeBytes: number;
  readonly bytesWritten: number;
  readonly clusters: {
    readonly plain: number;
    readonly compressed: number;
    readonly zero: number;
    readonly unallocated: number;
  };
}

interface Qcow2Disk extends Disk {
  readonly virtualSizeBytes: number;
  readonly clusterSize: number;
  read(offset: number, length: number): Promise<Uint8Array>;
  extents(): AsyncIterable<Extent>;
  stream(options?: Qcow2StreamOptions): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

interface Qcow2Frontier {
  available(): number;
  waitFor(offset: number): Promise<void>;
  readonly ended: boolean;
}

type Qcow2Plan = {
  readonly supported: true;
  readonly version: 2 | 3;
  readonly virtualSizeBytes: number;
  readonly clusterSize: number;
  readonly compression: "zlib" | "zstd";
  readonly snapshotCount: number;
  readonly startsAtBytes: number;
} | {
  readonly supported: false;
  readonly reason: string;
};

interface Qcow2Stream {
  write(chunk: Uint8Array): Promise<void>;
  readonly concurrency: number;
  end(): Promise<Qcow2DecodeResult>;
  close(): Promise<void>;
}

interface Qcow2StreamOptions {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  readonly chunkSizeBytes?: number | undefined;
}

interface Qcow2Target {
  write(chunk: Uint8Array, offset: number): Promise<void>;
}

interface Qcow2Workers extends AsyncDisposable {
  close(): Promise<void>;
}

export declare function createQcow2Workers(count?: number): Qcow2Workers;

export declare function decodeQcow2(options: DecodeQcow2Options): Promise<Qcow2DecodeResult>;

export declare function decodeQcow2Stream(options: DecodeQcow2StreamOptions): Promise<Qcow2Stream>;

export declare function openQcow2(reader: RandomAccessReader, options?: OpenQcow2Options): Promise<Qcow2Disk>;

export declare function planQcow2(source: Uint8Array | RandomAccessReader, options?: PlanQcow2Options): Promise<Qcow2Plan>;

export declare const qcow2PlanBytes: number;

export type {
  DecodeQcow2Options,
  DecodeQcow2StreamOptions,
  OpenQcow2Options,
  PlanQcow2Options,
  Qcow2DecodeErrorInit,
  Qcow2DecodeResult,
  Qcow2Disk,
  Qcow2Frontier,
  Qcow2Plan,
  Qcow2Stream,
  Qcow2StreamOptions,
  Qcow2Target,
  Qcow2Workers,
};
