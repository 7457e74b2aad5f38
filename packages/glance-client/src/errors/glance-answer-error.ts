import { ImageError } from '@disk-image/core'

/** A service answered, but not as its interface says: no JSON, other types, pages without end. */
export class GlanceAnswerError extends ImageError {
  readonly code = 'GLANCE_ANSWER'
  readonly kind = 'failed'
  /** Where the answer came from, without what may be secret. */
  readonly url: string
  readonly reason: string

  constructor(init: { readonly url: string; readonly reason: string; readonly cause?: unknown }) {
    super({ message: `The answer of ${init.url} is not usable: ${init.reason}`, cause: init.cause })
    this.url = init.url
    this.reason = init.reason
  }
}
