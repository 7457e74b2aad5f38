import type { Progress } from '@disk-image/core'

/** The operations that are measured. Every fetch of Cinder's is the first or the last, every upload the second. */
export type OperationName = 'image_to_volume' | 'volume_to_image' | 'fetch'

/** What is known at the end. Numbers and formats only: no ids, no paths, no names. */
export interface OperationFacts {
  /** The format that the image really had. */
  readonly format?: string | undefined
  readonly volumeFormat?: string | undefined
  readonly bytesDownloaded?: number | undefined
  /** Bytes put onto the volume, without holes. */
  readonly bytesWritten?: number | undefined
  readonly bytesUploaded?: number | undefined
  readonly virtualSizeBytes?: number | undefined
  readonly resumes?: number | undefined
  readonly signatureVerified?: boolean | undefined
}

/** One operation while it runs. */
export interface Operation {
  /** Runs one stage of it. */
  stage<Result>(stage: string, run: () => Promise<Result>): Promise<Result>
  /** Absent: progress is of no interest. */
  readonly onProgress?: ((progress: Progress) => void) | undefined
  note(facts: OperationFacts): void
}

/**
 * Told what the facade does, stage by stage. `createOpenTelemetry` of `@disk-image/image-utils/telemetry` makes
 * one; your own is an object with this method. It must not throw, and passes on what `run` came to.
 */
export interface Telemetry {
  operation<Result>(
    name: OperationName,
    signal: AbortSignal | undefined,
    run: (operation: Operation) => Promise<Result>,
  ): Promise<Result>
}

const silentOperation: Operation = Object.freeze<Operation>({
  stage: (_stage, run) => run(),
  note: () => undefined,
})

/** Measures nothing. The default. */
export const silentTelemetry: Telemetry = Object.freeze<Telemetry>({
  operation: (_name, _signal, run) => run(silentOperation),
})
