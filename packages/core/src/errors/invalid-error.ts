import { ImageError } from './image-error.ts'

/**
 * A parameter, an option or a request is wrong. The message says which and what would be right.
 *
 * @see cinder.exception.Invalid
 */
export class InvalidError extends ImageError {
  readonly code = 'INVALID'
  readonly kind = 'invalid'
  readonly reason: string

  constructor(init: { readonly reason: string; readonly cause?: unknown }) {
    super({ message: init.reason, cause: init.cause })
    this.reason = init.reason
  }
}
