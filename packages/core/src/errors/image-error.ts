const marker = Symbol.for('@disk-image/error')

/**
 * What the caller may do about an error.
 *
 * - `refused`: the image breaks a rule; another try with the same image and policy ends the same way
 * - `not-found`: the image, store or file does not exist
 * - `not-authorized`: the account may not do this
 * - `invalid`: a parameter or option is wrong
 * - `failed`: something broke on the way; another try may succeed
 */
export type ImageErrorKind = 'refused' | 'not-found' | 'not-authorized' | 'invalid' | 'failed'

/** What every error of the family is made from. */
export interface ImageErrorInit {
  readonly message: string
  /** The error underneath, kept as the native `cause`. */
  readonly cause?: unknown
}

/**
 * Base of every error that these packages throw on purpose.
 *
 * Match on `code`, never on `message`. `ImageError.is(error)` also holds for errors of another installed
 * version of these packages, where `instanceof` does not.
 */
export abstract class ImageError extends Error {
  static {
    Object.defineProperty(this.prototype, marker, { value: true })
  }

  /** Stable, upper-case, one per class: `IMAGE_UNACCEPTABLE`, `PROCESS_EXECUTION_FAILED` … */
  abstract readonly code: string
  abstract readonly kind: ImageErrorKind

  constructor({ message, cause }: ImageErrorInit) {
    super(message, cause === undefined ? undefined : { cause })
    // On the instance, not enumerable: a subclass gets its own name without repeating it.
    Object.defineProperty(this, 'name', { value: new.target.name, configurable: true })
  }

  /** Whether a caught value is an error of this family, whichever copy of the package made it. */
  static is(error: unknown): error is ImageError {
    return typeof error === 'object' && error !== null && marker in error
  }
}
