import type { Progress, CallOptions, Clock, DownloadReport, ProgressListener } from '@disk-image/core'
import { CallProgress } from './call-progress.ts'

/** The operations that are measured. Every fetch of Cinder's is the first or the last, every upload the second. */
export type OperationName = 'image_to_volume' | 'volume_to_image' | 'fetch' | 'convert' | 'verify'

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

/** An operation that says how often it passes over the data, so that its progress is that of the whole. */
export interface ObservedOperation extends Operation {
  /** @param part what the passes belong to: what is said later of the same counts */
  expect(part: unknown, passes: number): void
}

/**
 * Runs an operation under telemetry, which hears of all of its progress where it wants to. The caller hears of the
 * whole's, see {@link CallProgress}.
 */
export function observe<Request extends CallOptions, Result>(
  { telemetry, clock }: { readonly telemetry: Telemetry; readonly clock: Clock },
  name: OperationName,
  request: Request,
  run: (request: Request, operation: ObservedOperation) => Promise<Result>,
): Promise<Result> {
  return telemetry.operation(name, request.signal, async (operation) => {
    const listener = request.onProgress
    const progress = listener === undefined ? undefined : new CallProgress(listener, clock)
    const isHeard = progress !== undefined || operation.onProgress !== undefined
    const onProgress: ProgressListener = (one) => {
      operation.onProgress?.(one)
      progress?.report(one)
    }
    const result = await run(isHeard ? { ...request, onProgress } : request, {
      onProgress: operation.onProgress,
      note: (facts) => operation.note(facts),
      stage: (stage, act) => {
        progress?.enter(stage)
        return operation.stage(stage, act)
      },
      expect: (part, passes) => progress?.expect(part, passes),
    })
    progress?.end()
    return result
  })
}

/** The same for a fetch, which is one stage. */
export function observeFetch<Keywords extends CallOptions>(
  services: { readonly telemetry: Telemetry; readonly clock: Clock },
  keywords: Keywords,
  run: (keywords: Keywords) => Promise<DownloadReport>,
): Promise<DownloadReport> {
  return observe(services, 'fetch', keywords, async (observed, operation) => {
    operation.expect('fetch', 1)
    const report = await operation.stage('download', () => run(observed))
    operation.note({ bytesDownloaded: report.bytes, resumes: report.resumes })
    return report
  })
}

/** Seconds by stage, for the report; telemetry hears of the stages, too. */
export class Stopwatch {
  readonly #clock: Clock
  readonly #operation: ObservedOperation
  readonly #started: number
  readonly #stages = new Map<string, number>()

  constructor(clock: Clock, operation: ObservedOperation) {
    this.#clock = clock
    this.#operation = operation
    this.#started = clock.monotonicMs()
  }

  /** Says how often a part of the operation passes over the data. */
  expect(part: unknown, passes: number): void {
    this.#operation.expect(part, passes)
  }

  /** Runs a stage and adds its time. */
  async time<Result>(stage: string, run: () => Promise<Result>): Promise<Result> {
    const started = this.#clock.monotonicMs()
    try {
      return await this.#operation.stage(stage, run)
    } finally {
      const soFar = this.#stages.get(stage) ?? 0
      this.#stages.set(stage, soFar + this.#clock.monotonicMs() - started)
    }
  }

  /** Seconds of one stage, 0 where it didn't happen. */
  seconds(stage: string): number {
    return toSeconds(this.#stages.get(stage) ?? 0)
  }

  /** Seconds since the stopwatch was made. */
  total(): number {
    return toSeconds(this.#clock.monotonicMs() - this.#started)
  }
}

function toSeconds(milliseconds: number): number {
  return Math.round(milliseconds) / 1000
}
