import { ImageError, type Layout, type Refusal } from '@disk-image/core'

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

/**
 * Refuses what the parse of an image found, and a size that can't be counted.
 *
 * @param but the check that the policy may let pass, and that tells nothing of where the data lies
 * @throws {DiskFormatError} with the first problem
 */
export function requireSound({ format, sizeBytes, problems }: Layout, but?: 'clean'): void {
  const problem = problems.find(({ rule }) => rule !== `${format}-${but}`)
  if (problem !== undefined) throw new DiskFormatError(problem)
  if (Number.isSafeInteger(sizeBytes)) return
  refuse(`${format}-virtual-size`, 'the size of the disk is none that a disk can have', {
    found: `${sizeBytes} bytes`,
    accepted: 'less than 2^53 bytes',
  })
}

/** A disk or file is not any more what it was when it was measured: what is made of it must not be used. */
export class DiskChangedError extends ImageError {
  readonly code = 'DISK_CHANGED'
  readonly kind = 'failed'

  /** @param offset byte of the disk */
  constructor(reason: string, offset: number) {
    super({ message: `The disk changed while it was read: ${reason} (at byte ${offset}).` })
  }
}
