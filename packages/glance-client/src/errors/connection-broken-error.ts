/** How far a request had come when its connection failed. */
export type BrokenPhase = 'connect' | 'headers' | 'body' | 'upload'

/** One connection failed. Never leaves the package: it becomes the error of the operation. */
export class ConnectionBrokenError extends Error {
  override readonly name = 'ConnectionBrokenError'
  readonly phase: BrokenPhase
  /** Whether another try makes no sense: the answer itself is wrong. */
  readonly fatal: boolean

  constructor(phase: BrokenPhase, message: string, options: { cause?: unknown; fatal?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.phase = phase
    this.fatal = options.fatal ?? false
  }
}
