import type { WriteRight } from './ports/write-right.ts'

/** The stages an operation can be in. */
export type ProgressStage =
  | 'inspect'
  | 'download'
  | 'verify'
  | 'convert'
  | 'write'
  | 'upload'
  | 'coalesce'
  | 'extract'

/** One report of progress. `completed` and `total` are of the stage: bytes, or percent where `unit` says so. */
export interface Progress {
  readonly stage: ProgressStage
  readonly completed: number
  /** Absent where the end is not known. */
  readonly total?: number | undefined
  readonly unit: 'bytes' | 'percent'
  /** How often a broken transfer was continued so far. */
  readonly resumes?: number | undefined
  /** Of the whole call, from 0 to 1, never less than before. Absent where its end is not known; the facade's calls say it. */
  readonly fraction?: number | undefined
  /** Of the stage, over the last seconds. The facade's calls say it. */
  readonly bytesPerSecond?: number | undefined
}

/**
 * Called synchronously: it must be quick, and what it throws ends the operation. By the facade ten times a second at
 * most, by other packages often.
 */
export type ProgressListener = (progress: Progress) => void

/** What every call that does I/O takes in its last argument. */
export interface CallOptions {
  /** Ends the call, which then rejects with the signal's reason, unwrapped. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ProgressListener | undefined
  /** Where the destination is this caller's for a limited time only: asked before each write to it. */
  readonly writeRight?: WriteRight | undefined
}

/** On whose behalf a call is made. Every field may be absent: then the service's own account acts. */
export interface RequestContext {
  readonly userId?: string | undefined
  readonly projectId?: string | undefined
  /** The user's own token; it is sent to the image service and never printed. */
  readonly authToken?: string | undefined
  /** A service's token beside the user's, for long operations (`X-Service-Token`). */
  readonly serviceToken?: string | undefined
  readonly isAdmin?: boolean | undefined
  /** Sent along as `X-OpenStack-Request-ID`, so that logs of several services can be joined. */
  readonly globalRequestId?: string | undefined
}
