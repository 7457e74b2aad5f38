import {
  ByteSink,
  Clock,
  Command,
  Envelope,
  ImageError,
  ImageTooBigError,
  Logger,
  ProcessRunner,
  RunOptions,
  Target,
  TemporaryFileOptions,
  TemporaryFiles,
  WriteRight,
} from "@disk-image/core";

import {
  FileHandle,
} from "node:fs/promises";

import {
  Stats,
} from "node:fs";

interface BlockDeviceSizeOptions {
  readonly runner?: ProcessRunner | undefined;
  readonly asRoot?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface ChownOptions {
  readonly runner: ProcessRunner;
  readonly access?: "read" | "write" | undefined;
  readonly userId?: number | undefined;
  readonly look?: ((file: string, access: "read" | "write") => Promise<FileOwnership>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface CommandEnvelopeOptions extends Pick<RunOptions, "limits" | "signal"> {
  readonly runner: ProcessRunner;
  readonly command: Command;
}

interface DirectIoOptions {
  readonly runner?: ProcessRunner | undefined;
  readonly asRoot?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface FileOwnership {
  readonly accessible: boolean;
  readonly ownerId: number;
}

interface HeldFile extends AsyncDisposable {
  readonly path: string;
  readonly name: string;
  readonly kind: "file" | "block-device";
  readonly sizeBytes: number;
  open(flags?: number): Promise<FileHandle>;
  stamp(): Promise<string>;
}

interface HoldOptions {
  readonly followLink?: boolean | undefined;
  readonly regularOnly?: boolean | undefined;
}

interface KeptPart {
  readonly name: string;
  readonly handle: FileHandle;
  readonly bytes: number;
}

interface Leftover {
  readonly path: string;
  readonly kind: "file" | "directory";
  readonly sizeBytes: number;
  readonly processId: number;
}

interface LeftoverOptions {
  readonly directory: string;
  readonly prefix?: string | undefined;
  readonly suffix?: string | undefined;
}

type LockAttempt = "busy" | "not-possible" | {
  readonly lock: AsyncDisposable;
};

interface OpenSource {
  readonly handle: FileHandle;
  readonly kind: HeldFile["kind"];
  readonly sizeBytes: number;
}

interface OpenVolumeOptions {
  readonly sizeBytes?: number | undefined;
  readonly fileLengthBytes?: number | undefined;
  readonly imageId?: string | undefined;
  readonly durable?: boolean | undefined;
  readonly temporary?: boolean | undefined;
  readonly runner?: ProcessRunner | undefined;
  readonly asRoot?: boolean | undefined;
  readonly partial?: {
    readonly prepared: Partial;
    readonly whole: () => PartOf | undefined;
  } | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly writeRight?: WriteRight | undefined;
}

interface PartOf {
  readonly identity: string;
  readonly sizeBytes: number;
}

interface Partial {
  readonly path: string;
  readonly kept: Pick<KeptPart, "bytes" | "handle"> | undefined;
  create(): Promise<FileHandle>;
  publish(options: {
    readonly durable: boolean;
  }): Promise<void>;
  record(whole: PartOf, bytes: number): Promise<void>;
  discard(): Promise<void>;
  close(): Promise<void>;
}

interface Place {
  readonly path: string;
  readonly found: Stats | undefined;
}

interface ProcessRunnerOptions {
  readonly rootHelper?: readonly string[] | undefined;
  readonly sandbox?: SandboxMode | undefined;
  readonly logger?: Logger | undefined;
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

type SandboxMode = "auto" | "require" | "off";

interface SpaceNeed {
  readonly path: string;
  readonly neededBytes?: number | undefined;
  readonly imageId?: string | undefined;
}

interface TemporaryOwner {
  readonly hostTag: string;
  readonly processId: number;
  readonly startTicks: number;
}

interface Volume extends Target {
  readonly path: string;
  readonly kind: "file" | "block-device";
  readonly sizeBytes: number;
  readonly created: boolean;
  readonly touched: boolean;
  reached(bytes: number): void;
  close(): Promise<void>;
}

export declare class VolumeAccessError extends ImageError {
  readonly code = "VOLUME_ACCESS";
  readonly kind = "not-authorized";
  readonly path: string;
  constructor(init: {
    readonly path: string;
    readonly reason: string;
    readonly cause?: unknown;
  });
}

export declare function blockDeviceSize(name: string, options?: BlockDeviceSizeOptions): Promise<number>;

export declare function chownIfNeeded(name: string, options: ChownOptions): Promise<AsyncDisposable>;

export declare function createBootClock(): () => number;

export declare function createClock(): Clock;

export declare function createProcessRunner(options?: ProcessRunnerOptions): ProcessRunner;

export declare function createTemporaryFiles(options: {
  readonly directory: string;
}): TemporaryFiles;

export declare function findLeftovers(options: LeftoverOptions): Promise<Leftover[]>;

export declare function freeSpace(name: string): Promise<number>;

export declare function heldFile(handle: FileHandle, name: string, { regularOnly }?: Pick<HoldOptions, "regularOnly">): Promise<HeldFile>;

export declare function holdFile(name: string, options?: HoldOptions): Promise<HeldFile>;

export declare function holdToChown(name: string): Promise<HeldFile>;

export declare function isAmongDevices(file: string): Promise<boolean>;

export declare function isBlockDevice(name: string): Promise<boolean>;

export declare function isTemporaryName(name: string): boolean;

export declare function newTemporaryName({ prefix, suffix }: TemporaryFileOptions, owner?: TemporaryOwner): string;

export declare function openCommandEnvelope(sink: ByteSink, { runner, command, limits, signal }: CommandEnvelopeOptions): Envelope;

export declare function openSource(name: string, options?: HoldOptions): Promise<OpenSource>;

export declare function openVolume(name: string, options?: OpenVolumeOptions): Promise<Volume>;

export declare const pathOnly = 2097152;

export declare function preparePartial(file: string, runner?: ProcessRunner, find?: () => Promise<PartOf | undefined>): Promise<Partial>;

export declare function preparePrivateFolder(directory: string, role: string): Promise<void>;

export declare function removeLeftovers(options: LeftoverOptions): Promise<Leftover[]>;

export declare function renameInError(error: unknown, { path, name }: Pick<HeldFile, "name" | "path">): void;

export declare function resolvePlace(name: string): Promise<Place>;

export declare function spaceError(error: unknown, need: SpaceNeed): Promise<ImageTooBigError | undefined>;

export declare function supportsDirectIo(name: string, options?: DirectIoOptions): Promise<boolean>;

export declare function tryLock(file: string): Promise<LockAttempt>;

export type {
  BlockDeviceSizeOptions,
  ChownOptions,
  CommandEnvelopeOptions,
  DirectIoOptions,
  FileOwnership,
  HeldFile,
  HoldOptions,
  KeptPart,
  Leftover,
  LeftoverOptions,
  LockAttempt,
  OpenSource,
  OpenVolumeOptions,
  PartOf,
  Partial,
  Place,
  ProcessRunnerOptions,
  SandboxMode,
  SpaceNeed,
  Volume,
};
