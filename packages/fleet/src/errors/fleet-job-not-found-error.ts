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
