import { ImageError, type Layout, type Refusal } from '@disk-image/core'

/** Init of {@link DiskFormatError}. */
export interface DiskFormatErrorInit extends Omit<Refusal, 'ok'> {
  readonly cause?: unknown
}

/** What every image that is refused tells. */
abstract class RefusedImageError extends ImageError {
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

  constructor(message: string, init: Refusal & { readonly cause?: unknown }) {
    super({ message, cause: init.cause })
    this.rule = init.rule
    this.reason = init.reason
    this.found = init.found
    this.offset = init.offset
    this.accepted = init.accepted
  }
}

/** The bytes are no image that the reader of their format takes. What was written so far must not be used. */
export class DiskFormatError extends RefusedImageError {
  readonly code = 'DISK_FORMAT'

  constructor(init: DiskFormatErrorInit) {
    super(`disk image refused: ${init.reason}${placeOf(init)}`, init)
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

  /** @param offset byte of the disk, or of its file */
  constructor(reason: string, offset: number) {
    super({ message: `The disk changed while it was read: ${reason} (at byte ${offset}).` })
  }
}

/** Init of {@link VhdError}: the refusal, and the file it is about. */
export interface VhdErrorInit extends Refusal {
  /** The file, as the caller named it; `undefined` for readers without a name. */
  readonly path?: string | undefined
  readonly cause?: unknown
}

/** A VHD, or a chain of them, breaks a rule of the format or of safe use. Nothing was written. */
export class VhdError extends RefusedImageError {
  readonly code = 'VHD_REFUSED'
  readonly path: string | undefined
  readonly reference: string | undefined

  constructor(init: VhdErrorInit) {
    const where = init.path === undefined ? 'The VHD' : `VHD ${init.path}`
    super(`${where} is refused: ${init.reason}`, init)
    this.path = init.path
    this.reference = init.reference
  }
}

/** Init of {@link Qcow2DecodeError}. */
export interface Qcow2DecodeErrorInit extends Refusal {
  readonly cause?: unknown
}

/**
 * The bytes are no qcow2 image that this decoder understands completely. What was written so far must not be
 * used.
 */
export class Qcow2DecodeError extends RefusedImageError {
  readonly code = 'QCOW2_DECODE'

  constructor(init: Qcow2DecodeErrorInit) {
    super(`qcow2 image refused: ${init.reason}${placeOf(init)}`, init)
  }
}

/** @throws {Qcow2DecodeError} always */
export function refuseQcow2(rule: string, reason: string, offset?: number): never {
  throw new Qcow2DecodeError({ rule, reason, offset })
}

function placeOf({ offset }: Pick<Refusal, 'offset'>): string {
  return offset === undefined ? '' : ` (at byte ${offset})`
}

/** Why bytes are no gzip that can be taken. */
export type GzipProblem = 'not-gzip' | 'truncated' | 'damaged' | 'members' | 'trailing'

/** What is wrong with a gzip, and where; those who know what the bytes are for turn it into their own refusal. */
export class GzipError extends Error {
  readonly problem: GzipProblem
  /** Byte of the compressed data. */
  readonly offset: number
  readonly found: string | undefined
  readonly accepted: string | undefined

  constructor(init: {
    readonly problem: GzipProblem
    readonly reason: string
    readonly offset: number
    readonly found?: string | undefined
    readonly accepted?: string | undefined
    readonly cause?: unknown
  }) {
    super(init.reason, { cause: init.cause })
    this.name = 'GzipError'
    this.problem = init.problem
    this.offset = init.offset
    this.found = init.found
    this.accepted = init.accepted
  }
}
