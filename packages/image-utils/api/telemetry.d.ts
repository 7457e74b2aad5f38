import {
  MeterProvider,
  TracerProvider,
} from "@opentelemetry/api";

import {
  Progress,
} from "@disk-image/core";

interface OpenTelemetryOptions {
  readonly tracerProvider?: TracerProvider | undefined;
  readonly meterProvider?: MeterProvider | undefined;
}

interface Operation {
  stage<Result>(stage: string, run: () => Promise<Result>): Promise<Result>;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  note(facts: OperationFacts): void;
}

interface OperationFacts {
  readonly format?: string | undefined;
  readonly volumeFormat?: string | undefined;
  readonly bytesDownloaded?: number | undefined;
  readonly bytesWritten?: number | undefined;
  readonly bytesUploaded?: number | undefined;
  readonly virtualSizeBytes?: number | undefined;
  readonly resumes?: number | undefined;
  readonly signatureVerified?: boolean | undefined;
}

type OperationName = "image_to_volume" | "volume_to_image" | "fetch" | "convert" | "verify";

interface Telemetry {
  operation<Result>(name: OperationName, signal: AbortSignal | undefined, run: (operation: Operation) => Promise<Result>): Promise<Result>;
}

export declare function createOpenTelemetry(options?: OpenTelemetryOptions): Telemetry;

export type {
  OpenTelemetryOptions,
  Operation,
  OperationFacts,
  OperationName,
  Telemetry,
};
