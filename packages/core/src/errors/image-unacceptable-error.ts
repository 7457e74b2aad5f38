import type { Refusal } from '../refusal.ts'
import type { ImageErrorKind } from './image-error.ts'
import { InvalidError } from './invalid-error.ts'

/** Init of {@link ImageUnacceptableError}: the image and the refusal it got. */
export interface ImageUnacceptableErrorInit extends Omit<Refusal, 'rule'> {
  readonly imageId: string
  readonly rule?: string | undefined
  readonly cause?: unknown
}

/**
 * The image's bytes, or what its record claims about them, are not acceptable.
 *
 * @see cinder.exception.ImageUnacceptable
 */
export class ImageUnacceptableError extends InvalidError {
  override readonly code: string = 'IMAGE_UNACCEPTABLE'
  override readonly kind: ImageErrorKind = 'refused'
  readonly imageId: string
  /** The rule that refused, for example `qcow2-backing-file`. */
  readonly rule: string | undefined
  /** What was found where the rule looked. */
  readonly found: string | undefined
  /** Where it was found: byte offset into the image. */
  readonly offset: number | undefined
  /** What would be accepted instead. */
  readonly accepted: string | undefined
  /** The published vulnerability or bug behind the rule. */
  readonly reference: string | undefined

  constructor(init: ImageUnacceptableErrorInit) {
    super({
      reason: init.reason,
      message: `Image ${init.imageId} is unacceptable: ${init.reason}`,
      cause: init.cause,
    })
    this.imageId = init.imageId
    this.rule = init.rule
    this.found = init.found
    this.offset = init.offset
    this.accepted = init.accepted
    this.reference = init.reference
  }
}
