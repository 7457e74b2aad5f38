import {
  Layout,
  Refusal,
} from "@disk-image/core";

interface BitmapDirectory {
  readonly count: number;
  readonly offset: number;
  readonly bytes: number;
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

type Finding = Omit<Refusal, "rule">;

export declare class Problems {
  #private;
  readonly list: Refusal[];
  constructor(format: string);
  add(check: string, finding: Finding): void;
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

type Qcow2Header = Omit<Qcow2Layout, keyof Qcow2Extensions | "problems" | "backingFile">;

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

export declare function checkBitmaps(directory: Uint8Array | undefined, { count, offset, bytes }: BitmapDirectory, header: Pick<Qcow2Header, "clusterSize" | "exactSizeBytes">, problems: Problems): void;

export declare function hex(value: number | bigint): string;

export declare const layoutHeadBytes: number;

export declare const mostSnapshots = 65536;

export declare function parseQcow2(head: Uint8Array): Qcow2Layout;

export declare function printable(text: string): string;

export declare function qcow2HeadBytes(head: Uint8Array): number;

export declare function sameBytes(one: Uint8Array, other: Uint8Array): boolean;

export declare function viewOf(bytes: Uint8Array): DataView;

export type {
  BitmapDirectory,
  Finding,
  Qcow2Extensions,
  Qcow2Layout,
};
