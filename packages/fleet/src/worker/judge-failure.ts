import { ImageError, type Refusal } from '@disk-image/core'
import type { JobFailure } from '../jobs/job.ts'

const noSpaceCodes = new Set(['IMAGE_TOO_BIG', 'ENOSPC', 'EDQUOT'])

/**
 * What follows from an error.
 *
 * - refused, not found, not allowed, wrong: final, the same job ends the same way everywhere
 * - no room on this host: another host may have it
 * - all else broke on the way: another attempt
 */
export function judgeFailure(error: unknown): JobFailure {
  const { code, message, rule } = describe(error)
  const failure = { code, message, ...(rule === undefined ? {} : { rule }) }
  if (code === 'FLEET_JOB_CANCELLED') return { ...failure, verdict: 'cancelled' }
  if (noSpaceCodes.has(code)) return { ...failure, verdict: 'elsewhere' }
  const final = ImageError.is(error) && error.kind !== 'failed'
  return { ...failure, verdict: final ? 'final' : 'retry' }
}

function describe(error: unknown): { code: string; message: string; rule: string | undefined } {
  if (ImageError.is(error)) {
    const { rule } = error as ImageError & Partial<Refusal>
    return { code: error.code, message: error.message, rule }
  }
  if (!(error instanceof Error)) return { code: 'UNEXPECTED', message: String(error), rule: undefined }
  const { code } = error as NodeJS.ErrnoException
  const known = typeof code === 'string' && /^[A-Z][A-Z0-9_]+$/.test(code)
  return { code: known ? code : 'UNEXPECTED', message: error.message, rule: undefined }
}
