import { InvalidError } from './invalid-error.ts'

/**
 * The operation exists, but not for this object or on this machine.
 *
 * @see cinder.exception.NotSupportedOperation
 */
export class NotSupportedOperationError extends InvalidError {
  override readonly code: string = 'NOT_SUPPORTED_OPERATION'
  readonly operation: string

  constructor(init: { readonly operation: string; readonly reason?: string; readonly cause?: unknown }) {
    super({
      reason: init.reason ?? init.operation,
      message: `Operation not supported: ${init.operation}${init.reason === undefined ? '' : `. ${init.reason}`}`,
      cause: init.cause,
    })
    this.operation = init.operation
  }
}
