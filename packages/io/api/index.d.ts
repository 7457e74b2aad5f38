import {
  ByteSink,
  DownloadReport,
  ImageRecord,
  ProgressListener,
  RandomAccessReader,
  ResumePoint,
  VerifyPolicy,
} from "@disk-image/core";

import {
  FileHandle,
} from "node:fs/promises";

interface ByteConsumer {
  update(bytes: Uint8Array): Promise<void>;
  finish(): Promise<string>;
  close(): Promise<void>;
  readonly inWorker: boolean;
}

type ByteTask = {
  readonly kind: "hash";
  readonly algorithm: string;
} | {
  readonly kind: "signature";
  readonly algorithm: string;
  readonly publicKey: string;
  readonly signature: Uint8Array;
  readonly saltLength?: number;
};

interface ByteThreads {
  warm(): void;
  run(task: ByteTask): ByteConsumer;
  close(): Promise<void>;
}

export declare class Channel implements ByteSink, AsyncIterable<Uint8Array> {
  #private;
  get abandoned(): boolean;
  write(chunk: Uint8Array): Promise<void>;
  end(error?: unknown): void;
  leave(error: unknown): void;
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array>;
}

type ExpectedImage = Pick<ImageRecord, "id" | "size" | "os_hash_algo" | "os_hash_value" | "checksum">;

interface HashPlan {
  readonly algorithm: string;
  readonly nodeAlgorithm: string;
  readonly expected: string | undefined;
}

interface Lease {
  keep(weight: number): {
    readonly release: () => void;
  };
  readonly release: () => void;
}

export declare class Limiter {
  #private;
  readonly limit: number;
  constructor(limit: number);
  get taken(): number;
  acquire(weight: number, signal?: AbortSignal): Promise<Lease>;
}

interface PipeResources {
  readonly threads?: ByteThreads | undefined;
  readonly memory?: SlotPool | undefined;
}

interface PipeResult {
  readonly bytes: number;
  readonly hash: {
    readonly algorithm: string;
    readonly value: string;
    readonly verified: boolean;
  } | undefined;
  readonly additionalHashes: Readonly<Record<string, string>>;
}

export declare class RateLimiter {
  #private;
  constructor(bytesPerSecond: number, signal?: AbortSignal);
  take(bytes: number): Promise<void>;
}

interface Slot {
  readonly memory: Uint8Array;
  used: number;
  offset: number;
  forSink: boolean;
}

interface SlotPool {
  readonly slotBytes: number;
  readonly free: number;
  take(): Slot;
  give(slot: Slot): void;
  lose(count: number): void;
  close(): void;
}

interface StreamHash extends ByteSink, AsyncDisposable {
  write(bytes: Uint8Array): Promise<void> | void;
  digest(): Promise<Readonly<Record<string, string>>>;
  close(): Promise<void>;
  readonly inWorker: boolean;
}

interface StreamHashOptions {
  readonly worker?: boolean | undefined;
  readonly slotBytes?: number | undefined;
  readonly slots?: number | undefined;
}

interface TaskStream {
  readonly consumers: readonly ByteConsumer[];
  readonly write: (bytes: Uint8Array) => Promise<void> | void;
  readonly finish: () => Promise<string[]>;
  readonly close: () => Promise<void>;
}

interface TransferOptions extends VerifiedPipeOptions {
  readonly signal?: AbortSignal | undefined;
  readonly resumeFrom?: ResumePoint | undefined;
}

interface VerifiedPipe {
  readonly received: number;
  readonly partial: boolean;
  room(): Uint8Array | undefined;
  push(bytes: Uint8Array, forSink?: boolean): Promise<void> | undefined;
  finish(): Promise<PipeResult>;
  close(): Promise<void>;
}

interface VerifiedPipeOptions {
  readonly image: ExpectedImage;
  readonly verify?: VerifyPolicy | undefined;
  readonly additionalHashes?: readonly string[] | undefined;
  readonly onProgress?: ProgressListener | undefined;
  readonly slotBytes?: number | undefined;
  readonly slots?: number | undefined;
  readonly workerFromBytes?: number | undefined;
}

export declare function allocateBuffer(bytes: number): Uint8Array;

export declare function allocatePagePieces(count: number, bytes: number): Uint8Array[];

export declare function allocateSharedBuffer(bytes: number): Uint8Array;

export declare const bufferOffset = 64;

export declare function createByteThreads(most?: number): ByteThreads;

export declare function createSlotPool(slotBytes?: number, most?: number): SlotPool;

export declare function createStreamHash(algorithms: readonly string[], options?: StreamHashOptions, threads?: ByteThreads): StreamHash;

export declare function createTaskStream(tasks: readonly ByteTask[], options?: StreamHashOptions, shared?: ByteThreads): TaskStream;

export declare function createVerifiedPipe(sink: ByteSink, options: VerifiedPipeOptions, shared?: PipeResources): VerifiedPipe;

export declare function hasHash({ os_hash_value, checksum }: Pick<ExpectedImage, "os_hash_value" | "checksum">): boolean;

export declare function isHexDigest(name: string, value: string): boolean;

export declare function isPageAligned(bytes: Uint8Array): boolean;

export declare function iterateUnlessAborted<Item>(source: AsyncIterable<Item>, signal: AbortSignal | undefined): AsyncGenerator<Item, void, void>;

export declare const pageBytes = 4096;

export declare function planHash(image: ExpectedImage, policy: VerifyPolicy): HashPlan | undefined;

export declare function readAgain(pipe: VerifiedPipe, point: ResumePoint, signal: AbortSignal | undefined): Promise<void>;

export declare function readFully(handle: Pick<FileHandle, "read">, into: Uint8Array, offset: number): Promise<number>;

export declare function readFullyFrom(reader: RandomAccessReader, into: Uint8Array, offset: number): Promise<number>;

export declare function sizeOf({ id, size }: ExpectedImage): number | undefined;

export declare function toNodeHashName(name: string): string | undefined;

export declare function transferVerified(source: AsyncIterable<Uint8Array>, sink: ByteSink, options: TransferOptions): Promise<DownloadReport>;

export declare function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal | undefined): Promise<Value>;

export declare function writeFully(handle: Pick<FileHandle, "write">, bytes: Uint8Array, offset: number): Promise<void>;

export type {
  ByteTask,
  ByteThreads,
  ExpectedImage,
  HashPlan,
  Lease,
  PipeResult,
  SlotPool,
  StreamHash,
  StreamHashOptions,
  TaskStream,
  TransferOptions,
  VerifiedPipe,
  VerifiedPipeOptions,
};
