import { ImageError } from '@disk-image/core'

/** The worker is stopped, and gives its jobs back. */
export class WorkerStoppingError extends ImageError {
  readonly code = 'FLEET_WORKER_STOPPING'
  readonly kind = 'failed'

  constructor() {
    super({ message: 'The worker was stopped; the job goes back into the queue.' })
  }
}
