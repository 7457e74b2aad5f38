import {
  RandomAccessReader,
} from "@disk-image/core";

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly reason?: string | undefined;
  readonly offset?: number | undefined;
  readonly found?: string | undefined;
  readonly accepted?: string | undefined;
  readonly reference?: string | undefined;
}

type Finding = Omit<Check, "name" | "ok" | "reason"> & {
  readonly reason: string;
};

interface ImageDetails {
  readonly version?: number | undefined;
  readonly createType?: string | undefined;
  readonly extents?: readonly string[] | undefined;
  readonly backingFile?: string | undefined;
  readonly backingFileFormat?: string | undefined;
  readonly dataFile?: string | undefined;
  readonly encryption?: string | undefined;
  readonly clusterSizeBytes?: number | undefined;
  readonly extendedL2?: boolean | undefined;
  readonly compressionType?: string | undefined;
  readonly internalSnapshots?: number | undefined;
  readonly bitmaps?: number | undefined;
  readonly subformat?: string | undefined;
  readonly cipher?: string | undefined;
  readonly payloadOffsetBytes?: number | undefined;
  readonly foundAt?: "head" | "footer" | undefined;
}

interface InspectLuksPayloadOptions extends InspectOptions {
  readonly maxIterations?: number | undefined;
}

interface InspectOptions {
  readonly signal?: AbortSignal | undefined;
}

interface InspectedStream extends AsyncIterable<Uint8Array> {
  readonly headVerdict: Promise<InspectionResult>;
  readonly result: Promise<InspectionResult>;
}

interface InspectionResult {
  readonly format: string;
  readonly virtualSizeBytes: number | undefined;
  readonly fileSizeBytes: number | undefined;
  readonly matches: readonly string[];
  readonly contentName: string | undefined;
  readonly safe: boolean;
  readonly verdict: InspectionVerdict;
  readonly checks: readonly Check[];
  readonly details: ImageDetails;
  readonly complete: boolean;
}

interface InspectionTransform extends TransformStream<Uint8Array, Uint8Array> {
  readonly headVerdict: Promise<InspectionResult>;
  readonly result: Promise<InspectionResult>;
}

type InspectionVerdict = "safe" | "not-safe" | "not-a-disk-image";

interface Inspector {
  write(chunk: Uint8Array): void;
  end(): InspectionResult;
  readonly headKnown: boolean;
  headVerdict(): InspectionResult | undefined;
  readonly bytesSeen: number;
}

interface LuksPayloadInspected {
  readonly outcome: "inspected";
  readonly safe: boolean;
  readonly inspection: InspectionResult;
  readonly version: 1 | 2;
  readonly keySlot: number;
  readonly cipher: string;
  readonly payloadOffsetBytes: number;
}

interface LuksPayloadNotSeen {
  readonly outcome: "wrong-passphrase" | "unsupported" | "too-costly" | "malformed" | "not-luks";
  readonly safe: false;
  readonly reason: string;
  readonly offset?: number | undefined;
  readonly found?: string | undefined;
  readonly accepted?: string | undefined;
}

type LuksPayloadResult = LuksPayloadInspected | LuksPayloadNotSeen;

export declare function createInspectionTransform(): InspectionTransform;

export declare function createInspector(): Inspector;

export declare function inspect(reader: RandomAccessReader, options?: InspectOptions): Promise<InspectionResult>;

export declare function inspectLuksPayload(reader: RandomAccessReader, passphrase: Uint8Array | string, options?: InspectLuksPayloadOptions): Promise<LuksPayloadResult>;

export declare function inspectStream(source: AsyncIterable<Uint8Array>): InspectedStream;

export type {
  Check,
  Finding,
  ImageDetails,
  InspectLuksPayloadOptions,
  InspectOptions,
  InspectedStream,
  InspectionResult,
  InspectionTransform,
  InspectionVerdict,
  Inspector,
  LuksPayloadInspected,
  LuksPayloadNotSeen,
  LuksPayloadResult,
};
