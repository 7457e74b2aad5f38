import { ImageError, type Refusal } from '@disk-image/core'

/** Init of {@link VhdError}: the refusal, and the file it is about. */
export interface VhdErrorInit extends Refusal {
  /** The file, as the caller named it; `undefined` for readers without a name. */
  readonly path?: string | undefined
  readonly cause?: unknown
}

/** A VHD, or a chain of them, breaks a rule of the format or of safe use. Nothing was written. */
export class VhdError extends ImageError {
  readonly code = 'VHD_REFUSED'
  readonly kind = 'refused'
  readonly path: string | undefined
  /** Stable name of the rule: `footer-missing`, `bat-overlap`, `parent-uuid` … */
  readonly rule: string
  readonly reason: string
  readonly found: string | undefined
  /** Byte offset in the file at which it was found. */
  readonly offset: number | undefined
  readonly accepted: string | undefined
  readonly reference: string | undefined

  constructor(init: VhdErrorInit) {
    const where = init.path === undefined ? 'The VHD' : `VHD ${init.path}`
    super({ message: `${where} is refused: ${init.reason}`, cause: init.cause })
    this.path = init.path
    this.rule = init.rule
    this.reason = init.reason
    this.found = init.found
    this.offset = init.offset
    this.accepted = init.accepted
    this.reference = init.reference
  }
}
