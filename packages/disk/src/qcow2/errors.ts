import { ImageError, type Refusal } from '@disk-image/core'

/** Init of {@link Qcow2DecodeError}. */
export interface Qcow2DecodeErrorInit extends Refusal {
  readonly cause?: unknown
}

/**
 * The bytes are no qcow2 image that this decoder understands completely. What was written so far must not be
 * used.
 */
export class Qcow2DecodeError extends ImageError {
  readonly code = 'QCOW2_DECODE'
  readonly kind = 'refused'
  /** Stable name of the broken rule, in kebab case: `qcow2-cluster-used-twice`. */
  readonly rule: string
  /** One sentence for a person. */
  readonly reason: string
  readonly found: string | undefined
  /** Byte offset into the qcow2 file at which it was found. */
  readonly offset: number | undefined
  /** What would be accepted instead. */
  readonly accepted: string | undefined

  constructor(init: Qcow2DecodeErrorInit) {
    const place = init.offset === undefined ? '' : ` (at byte ${init.offset})`
    super({ message: `qcow2 image refused: ${init.reason}${place}`, cause: init.cause })
    this.rule = init.rule
    this.reason = init.reason
    this.found = init.found
    this.offset = init.offset
    this.accepted = init.accepted
  }
}

/** @throws {Qcow2DecodeError} always */
export function refuse(rule: string, reason: string, offset?: number): never {
  throw new Qcow2DecodeError({ rule, reason, offset })
}
