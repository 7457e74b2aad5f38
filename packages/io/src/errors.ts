import { ImageError } from '@disk-image/core'

/** A thread that worked for this process ended before it had answered: for want of memory, or because it was ended. */
export class ThreadEndedError extends ImageError {
  readonly code = 'THREAD_ENDED'
  readonly kind = 'failed'

  constructor(cause?: unknown) {
    const why = cause instanceof Error ? `: ${cause.message}` : ''
    super({ message: `A worker thread ended early${why}`, cause })
  }
}
