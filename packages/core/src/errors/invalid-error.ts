import { ImageError, type ImageErrorKind } from './image-error.ts'

/** Init of {@link InvalidError}. */
export interface InvalidErrorInit {
  readonly reason: string
  /** The whole message, where it says more than the reason. @default the reason */
  readonly message?: string | undefined
  readonly cause?: unknown
}

/**
 * A parameter, an option, an image or a request is wrong. The message says which and what would be right.
 *
 * As in Cinder, a refused image ({@link ImageUnacceptableError}, {@link ImageTooBigError}) is one of these.
 *
 * @see cinder.exception.Invalid
 */
export class InvalidError extends ImageError {
  readonly code: string = 'INVALID'
  readonly kind: ImageErrorKind = 'invalid'
  readonly reason: string

  constructor(init: InvalidErrorInit) {
    super({ message: init.message ?? init.reason, cause: init.cause })
    this.reason = init.reason
  }
}
