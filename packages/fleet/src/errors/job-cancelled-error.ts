import { ImageError } from '@disk-image/core'

/** Somebody cancelled the job. */
export class JobCancelledError extends ImageError {
  readonly code = 'FLEET_JOB_CANCELLED'
  readonly kind = 'failed'

  constructor() {
    super({ message: 'The job was cancelled.' })
  }
}
