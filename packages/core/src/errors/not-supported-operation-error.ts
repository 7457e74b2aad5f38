import { ImageError } from './image-error.ts'

/**
 * The operation exists, but not for this object or on this machine.
 *
 * @see cinder.exception.NotSupportedOperation
 */
export class NotSupportedOperationError extends ImageError {
  readonly code = 'NOT_SUPPORTED_OPERATION'
  readonly kind = 'invalid'
  readonly operation: string

  constructor(init: { readonly operation: string; readonly reason?: string; readonly cause?: unknown }) {
    super({
      message: `Operation not supported: ${init.operation}${init.reason === undefined ? '' : `. ${init.reason}`}`,
      cause: init.cause,
    })
    this.operation = init.operation
  }
}
