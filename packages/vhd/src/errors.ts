import { ImageError, ImageTooBigError, type Refusal } from '@disk-image/core'

/** Init of {@link XenserverArchiveError}. */
export interface XenserverArchiveErrorInit extends Refusal {
  /** The member of the archive that it is about, printable. */
  readonly member?: string | undefined
  readonly cause?: unknown
}

/** A XenServer archive, or a VHD in it, breaks a rule. Nothing of it is left on the disk. */
export class XenserverArchiveError extends ImageError {
  readonly code = 'XENSERVER_ARCHIVE_REFUSED'
  readonly kind = 'refused'
  readonly member: string | undefined
  /** Stable name of the rule: `member-link`, `chain-gap`, `size-limit` … */
  readonly rule: string
  readonly reason: string
  readonly found: string | undefined
  /** Byte offset: into the VHD where the rule is about one, else into the decompressed archive. */
  readonly offset: number | undefined
  readonly accepted: string | undefined
  readonly reference: string | undefined

  constructor(init: XenserverArchiveErrorInit) {
    const where = init.member === undefined ? 'The XenServer archive' : `Member ${init.member} of the archive`
    super({ message: `${where} is refused: ${init.reason}`, cause: init.cause })
    this.member = init.member
    this.rule = init.rule
    this.reason = init.reason
    this.found = init.found
    this.offset = init.offset
    this.accepted = init.accepted
    this.reference = init.reference
  }
}

const noSpace = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** A full disk as the error that says so; anything else stays what it is. */
export function nameSpace(error: unknown, path = 'the file'): unknown {
  if (!noSpace.has((error as NodeJS.ErrnoException).code ?? '')) return error
  return new ImageTooBigError({ imageId: path, reason: `there is no space left for ${path}`, cause: error })
}
