import type { Refusal } from '../refusal.ts'
import { ImageError } from './image-error.ts'

/** Init of {@link ImageUnacceptableError}: the image and the refusal it got. */
export interface ImageUnacceptableErrorInit extends Partial<Omit<Refusal, 'reason'>> {
  readonly imageId: string
  readonly reason: string
  readonly cause?: unknown
}

/**
 * The image's bytes, or what its record claims about them, are not acceptable.
 *
 * @see cinder.exception.ImageUnacceptable
 */
export class ImageUnacceptableError extends ImageError {
  readonly code = 'IMAGE_UNACCEPTABLE'
  readonly kind = 'refused'
  readonly imageId: string
  readonly reason: string
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
    super({ message: `Image ${init.imageId} is unacceptable: ${init.reason}`, cause: init.cause })
    this.imageId = init.imageId
    this.reason = init.reason
    this.rule = init.rule
    this.found = init.found
    this.offset = init.offset
    this.accepted = init.accepted
    this.reference = init.reference
  }
}
