import { ImageError } from '@disk-image/core'

/** There is no such job, or it ended so long ago that it isn't kept any more. */
export class FleetJobNotFoundError extends ImageError {
  readonly code = 'FLEET_JOB_NOT_FOUND'
  readonly kind = 'not-found'
  readonly jobId: string

  constructor(jobId: string) {
    super({ message: `There is no job ${jobId}.` })
    this.jobId = jobId
  }
}

/** Somebody cancelled the job. */
export class JobCancelledError extends ImageError {
  readonly code = 'FLEET_JOB_CANCELLED'
  readonly kind = 'failed'

  constructor() {
    super({ message: 'The job was cancelled.' })
  }
}

/**
 * A worker may no longer write its destination: the lease is another's, or could not be renewed in time. The work
 * was stopped, and is done again by whoever holds the lease next.
 */
export class LeaseLostError extends ImageError {
  readonly code = 'FLEET_LEASE_LOST'
  readonly kind = 'failed'

  constructor(init: { readonly reason: string; readonly cause?: unknown }) {
    super({ message: `The lease on the destination was lost: ${init.reason}`, cause: init.cause })
  }
}

/** Redis does not answer, or does not let this account in. */
export class RedisUnreachableError extends ImageError {
  readonly code = 'FLEET_REDIS_UNREACHABLE'
  readonly kind = 'failed'

  constructor(init: { readonly address: string; readonly cause?: unknown }) {
    const { cause } = init
    const why = cause instanceof Error ? cause.message : 'no answer'
    super({ message: `Redis at ${init.address} can't be used: ${why}`, cause })
  }
}

/** The worker is stopped, and gives its jobs back. */
export class WorkerStoppingError extends ImageError {
  readonly code = 'FLEET_WORKER_STOPPING'
  readonly kind = 'failed'

  constructor() {
    super({ message: 'The worker was stopped; the job goes back into the queue.' })
  }
}

/**
 * Another process has locked the volume: one that was stopped, or is about to end. The job waits for it, and uses up no
 * attempt.
 */
export class VolumeInUseError extends ImageError {
  readonly code = 'FLEET_VOLUME_IN_USE'
  readonly kind = 'failed'
  readonly volume: string

  constructor({ volume }: { readonly volume: string }) {
    super({ message: `The volume ${volume} is in use: another process has locked it.` })
    this.volume = volume
  }
}
