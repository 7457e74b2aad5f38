import {
  ByteSink,
  Checksum,
  DownloadReport,
  ImageError,
  ImageRecord,
  OverlappedSink,
  ProgressListener,
  RandomAccessReader,
  ResumePoint,
  Target,
  VerifyPolicy,
} from "@disk-image/core";

import {
  FileHandle,
} from "node:fs/promises";

import {
  Worker,
} from "node:worker_threads";

export declare class BufferPool {
  #private;
  readonly bufferBytes: number;
  constructor({ bufferBytes, most, perBlock }: BufferPoolOptions);
  get free(): number;
  acquire(): Uint8Array;
  release(buffer: Uint8Array): void;
  discard(count: number): void;
  close(): void;
}

interface BufferPoolOptions {
  readonly bufferBytes: number;
  readonly most?: number | undefined;
  readonly perBlock?: number | undefined;
}

export declare class BufferShare {
  #private;
  constructor(pool: BufferPool, { least, most }?: BufferShareOptions);
  get bufferBytes(): number;
  get free(): number;
  tryAcquire(): Uint8Array | undefined;
  acquire(): Promise<Uint8Array>;
  release(buffer: Uint8Array): void;
  close(): void;
}

interface BufferShareOptions {
  readonly least?: number | undefined;
  readonly most?: number | undefined;
}

export declare class Channel implements ByteSink, AsyncIterable<Uint8Array> {
  #private;
  get abandoned(): boolean;
  write(chunk: Uint8Array): Promise<void>;
  end(error?: unknown): void;
  leave(error: unknown): void;
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array>;
}

interface ChunkExtent {
  readonly start: number;
  readonly end: number;
  readonly zero: boolean;
}

interface Closable {
  close(): Promise<unknown>;
}

type ExpectedImage = Pick<ImageRecord, "id" | "size" | "os_hash_algo" | "os_hash_value" | "checksum">;

interface HashJob {
  update(bytes: Uint8Array): Promise<void>;
  finish(): Promise<string>;
  close(): Promise<void>;
  readonly inThread: boolean;
}

interface HashPlan {
  readonly algorithm: string;
  readonly nodeAlgorithm: string;
  readonly expected: string;
  readonly saidBy: string;
}

export declare class HashPool {
  #private;
  constructor(most?: number);
  warm(): void;
  run(task: HashTask): HashJob;
  close(): Promise<void>;
}

export declare class HashStream implements ByteSink, AsyncDisposable {
  #private;
  constructor(tasks: readonly (string | HashTask)[], options?: HashStreamOptions);
  get inThread(): boolean;
  write(bytes: Uint8Array): Promise<void> | void;
  finish(): Promise<string[]>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface HashStreamOptions {
  readonly inThread?: boolean | undefined;
  readonly hashPool?: HashPool | undefined;
  readonly bufferBytes?: number | undefined;
}

type HashTask = {
  readonly kind: "hash";
  readonly algorithm: string;
} | {
  readonly kind: "signature";
  readonly algorithm: string;
  readonly publicKey: string;
  readonly signature: Uint8Array;
  readonly saltLength?: number;
};

interface ImageHashesOptions {
  readonly image: ExpectedImage;
  readonly verify?: VerifyPolicy | undefined;
  readonly additionalHashes?: readonly string[] | undefined;
  readonly checksums?: readonly Checksum[] | undefined;
  readonly promises?: readonly Checksum[] | undefined;
  readonly hashForReport?: string | undefined;
  readonly threadFromBytes?: number | undefined;
}

interface ImageHashesResult {
  readonly hash: {
    readonly algorithm: string;
    readonly value: string;
    readonly verified: boolean;
  } | undefined;
  readonly verified: readonly Checksum[];
  readonly additionalHashes: Readonly<Record<string, string>>;
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

interface PageMemory {
  readonly buffer: SharedArrayBuffer;
}

export declare class RateLimiter {
  #private;
  constructor(bytesPerSecond: number, signal?: AbortSignal);
  take(bytes: number): Promise<void>;
}

type RequestHandler<Request, Reply> = (request: Request) => Reply;

interface Requests<Request, Reply> {
  run(request: Request): Promise<Reply>;
  close(): Promise<void>;
}

export declare class SparseSink implements OverlappedSink {
  #private;
  constructor(target: Pick<Target, "write" | "zero">, options: SparseSinkOptions);
  get offset(): number;
  get written(): number;
  write(chunk: Uint8Array): Promise<void>;
  writeAt(chunk: Uint8Array, start: number): Promise<void>;
  zeroAt(start: number, length: number): Promise<void>;
}

interface SparseSinkOptions {
  readonly sparse: boolean;
  readonly rateLimiter?: RateLimiter | undefined;
  readonly checkEnd?: ((endBytes: number) => void) | undefined;
}

export declare class ThreadEndedError extends ImageError {
  readonly code = "THREAD_ENDED";
  readonly kind = "failed";
  constructor(cause?: unknown);
}

export declare class ThreadPool<Request, Reply> {
  #private;
  constructor(options: ThreadPoolOptions<Request, Reply>);
  warm(): void;
  share(): Requests<Request, Reply>;
  lane(): Requests<Request, Reply> & {
    readonly inThread: boolean;
  };
  retire(): Promise<void>;
  close(): Promise<void>;
}

interface ThreadPoolOptions<Request, Reply> {
  readonly start: () => Worker;
  readonly createHandler: () => RequestHandler<Request, Reply>;
  readonly most: number;
}

export declare class Transfer {
  #private;
  constructor(sink: ByteSink | OverlappedSink, options: TransferOptions, shared?: TransferResources);
  get received(): number;
  get partial(): boolean;
  nextBuffer(): Uint8Array | undefined;
  push(bytes: Uint8Array, again?: boolean): Promise<void> | undefined;
  finish(): Promise<TransferResult>;
  close(): Promise<void>;
}

interface TransferOptions extends ImageHashesOptions {
  readonly onProgress?: ProgressListener | undefined;
}

interface TransferResources {
  readonly hashPool?: HashPool | undefined;
  readonly buffers?: BufferPool | undefined;
}

interface TransferResult extends ImageHashesResult {
  readonly bytes: number;
}

interface TransferVerifiedOptions extends TransferOptions {
  readonly signal?: AbortSignal | undefined;
  readonly resumeFrom?: ResumePoint | undefined;
}

export declare function allocateBuffer(bytes: number): Uint8Array;

export declare function allocatePageMemory(bytes: number): PageMemory;

export declare function allocatePagePieces(count: number, bytes: number): Uint8Array[];

export declare function allocateSharedBuffer(bytes: number): Uint8Array;

export declare function closeAll(...open: readonly (Closable | undefined)[]): Promise<void>;

declare const crcs: {
  readonly crc32: 8;
  readonly crc32c: 8;
  readonly crc64nvme: 16;
};

export declare function hasHash({ os_hash_value, checksum }: Pick<ExpectedImage, "os_hash_value" | "checksum">): boolean;

export declare function isCrc(algorithm: string): algorithm is keyof typeof crcs;

export declare function isPageAligned(bytes: Uint8Array): boolean;

export declare function isZero(chunk: Uint8Array): boolean;

export declare function iterateUnlessAborted<Item>(source: AsyncIterable<Item>, signal: AbortSignal | undefined): AsyncGenerator<Item, void, void>;

export declare const pageBytes = 4096;

export declare function planChecksums(checksums: readonly Checksum[]): HashPlan[];

export declare function planHash(image: ExpectedImage, policy: VerifyPolicy): HashPlan | undefined;

export declare function prepareAhead<Item, Prepared>(items: Iterable<Item> | AsyncIterable<Item>, count: number, prepare: (item: Item) => Promise<Prepared>): AsyncGenerator<Prepared, void, void>;

export declare function readAgain(transfer: Transfer, point: ResumePoint, signal: AbortSignal | undefined): Promise<void>;

export declare function readFully(handle: Pick<FileHandle, "read">, into: Uint8Array, offset: number): Promise<number>;

export declare function readFullyFrom(reader: RandomAccessReader, into: Uint8Array, offset: number): Promise<number>;

export declare function serveRequests<Request, Reply>(createHandler: () => RequestHandler<Request, Reply>): void;

export declare function sizeOf({ id, size }: ExpectedImage): number | undefined;

export declare function splitAtZeros(chunk: Uint8Array, offset: number, stepBytes?: number, leastBytes?: number): ChunkExtent[];

export declare function syncFolder(folder: string): Promise<void>;

export declare function toNodeHashName(name: string): string | undefined;

export declare function transferVerified(source: AsyncIterable<Uint8Array>, sink: ByteSink, options: TransferVerifiedOptions): Promise<DownloadReport>;

export declare function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal | undefined): Promise<Value>;

export declare function writeFully(handle: Pick<FileHandle, "write">, bytes: Uint8Array, offset: number): Promise<void>;

export declare function writeSparsely(target: Pick<Target, "write" | "zero">, chunk: Uint8Array, offset: number): Promise<number>;

export type {
  BufferPoolOptions,
  BufferShareOptions,
  ExpectedImage,
  HashJob,
  HashPlan,
  HashStreamOptions,
  HashTask,
  Lease,
  PageMemory,
  RequestHandler,
  Requests,
  SparseSinkOptions,
  ThreadPoolOptions,
  TransferOptions,
  TransferResources,
  TransferResult,
  TransferVerifiedOptions,
};
