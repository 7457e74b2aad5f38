import { ImageError, type Refusal } from '@disk-image/core'

/** Init of {@link DiskFormatError}. */
export interface DiskFormatErrorInit extends Omit<Refusal, 'ok'> {
  readonly cause?: unknown
}

/** The bytes are no image that the reader of their format takes. What was written so far must not be used. */
export class DiskFormatError extends ImageError {
  readonly code = 'DISK_FORMAT'
  readonly kind = 'refused'
  /** Stable name of the broken rule, in kebab case: `vmdk-grain-outside-file`. */
  readonly rule: string
  /** One sentence for a person. */
  readonly reason: string
  readonly found: string | undefined
  /** Byte offset into the file at which it was found. */
  readonly offset: number | undefined
  /** What would be accepted instead. */
  readonly accepted: string | undefined

  constructor(init: DiskFormatErrorInit) {
    const place = init.offset === undefined ? '' : ` (at byte ${init.offset})`
    super({ message: `disk image refused: ${init.reason}${place}`, cause: init.cause })
    this.rule = init.rule
    this.reason = init.reason
    this.found = init.found
    this.offset = init.offset
    this.accepted = init.accepted
  }
}

/** @throws {DiskFormatError} always */
export function refuse(
  rule: string,
  reason: string,
  details: Pick<DiskFormatErrorInit, 'found' | 'offset' | 'accepted' | 'cause'> = {},
): never {
  throw new DiskFormatError({ rule, reason, ...details })
}
