import {
  ImageError,
  ImageUnacceptableError,
  InvalidError,
  ProcessExecutionError,
  type Refusal,
} from '@disk-image/core'
import { ImageConversionNotAllowedError } from '@disk-image/format-policy'
import { qemuImgMissing } from './judge.ts'

/** The packages below know no image: their refusals get its id, and a missing tool the original's words. */
export function explain(imageId: string, error: unknown): unknown {
  if (error instanceof ProcessExecutionError && error.endReason === 'not-installed') {
    return qemuImgMissing(imageId, error)
  }
  if (!ImageError.is(error) || error.kind !== 'refused' || error instanceof InvalidError) return error
  if (error instanceof ImageConversionNotAllowedError) return error
  const refusal = error as ImageError & Partial<Refusal>
  return new ImageUnacceptableError({
    imageId,
    reason: refusal.reason ?? error.message,
    rule: refusal.rule,
    found: refusal.found,
    offset: refusal.offset,
    accepted: refusal.accepted,
    reference: refusal.reference,
    cause: error,
  })
}
