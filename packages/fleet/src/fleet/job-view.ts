import type { Job } from 'bullmq'
import type { FleetJob, JobEnvelope, JobFailure, JobProgress, JobResult, JobType } from '../jobs/job.ts'

/** Where a job stands. */
export type FleetJobState = 'waiting' | 'delayed' | 'active' | 'completed' | 'failed' | 'cancelled'

/** A job as it is seen from outside. */
export interface JobView {
  readonly id: string
  readonly type: JobType
  readonly backend: string
  readonly state: FleetJobState
  readonly job: FleetJob
  readonly priority: number
  /** Attempts that ended. */
  readonly attempts: number
  /** How often it took its worker down, or its worker was lost. */
  readonly crashes: number
  /** Milliseconds since 1970. */
  readonly submittedAt: number
  readonly startedAt: number | undefined
  readonly endedAt: number | undefined
  readonly progress: JobProgress | undefined
  readonly result: JobResult | undefined
  /** Why it failed, or why the last attempt did. */
  readonly error: JobFailure | undefined
}

/** A job of the engine, and the state that it is in there. */
export function viewOf(
  id: string,
  backend: string,
  job: Job<JobEnvelope, JobResult, string, JobProgress>,
  engineState: string,
): JobView {
  const progress = typeof job.progress === 'object' ? job.progress : undefined
  const error = errorOf(job, progress, engineState)
  const finished = engineState === 'completed' || engineState === 'failed'
  return {
    id,
    type: job.data.job.type,
    backend,
    state: stateOf(engineState, error),
    job: job.data.job,
    priority: job.priority,
    attempts: job.attemptsMade,
    crashes: job.stalledCounter,
    submittedAt: job.timestamp,
    startedAt: job.processedOn,
    endedAt: finished ? job.finishedOn : undefined,
    progress,
    result: engineState === 'completed' ? job.returnvalue : undefined,
    error,
  }
}

function stateOf(engineState: string, error: JobFailure | undefined): FleetJobState {
  switch (engineState) {
    case 'completed':
    case 'delayed':
    case 'active':
      return engineState
    case 'failed':
      return error?.verdict === 'cancelled' ? 'cancelled' : 'failed'
    default:
      return 'waiting'
  }
}

function errorOf(
  job: Job<JobEnvelope, JobResult, string, JobProgress>,
  progress: JobProgress | undefined,
  engineState: string,
): JobFailure | undefined {
  if (engineState === 'completed') return undefined
  const told = progress?.error
  if (engineState !== 'failed') return told
  if (told !== undefined && told.message === job.failedReason) return told
  // What the engine itself found: its words are about a lock that ran out, whatever made it run out.
  if (/stalled/.test(job.failedReason ?? '')) {
    return {
      code: 'FLEET_WORKER_LOST',
      message: 'Its workers were lost while they ran it.',
      verdict: 'final',
    }
  }
  return { code: 'UNEXPECTED', message: job.failedReason ?? 'It failed.', verdict: 'final' }
}
