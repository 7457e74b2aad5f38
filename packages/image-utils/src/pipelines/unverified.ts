import type { DownloadReport, Refusal, VerifyPolicy } from '@disk-image/core'
import type { Toolbox } from '../dependencies.ts'

/**
 * Says so where nothing of a download could be compared with the image's record but its size: in the log, and in
 * what is returned for the report. A caller who wanted no verification knows it already.
 */
export function warnIfUnverified(
  toolbox: Pick<Toolbox, 'logger'>,
  imageId: string,
  report: Pick<DownloadReport, 'hash'> | undefined,
  verify: VerifyPolicy | undefined,
): readonly Refusal[] {
  const warnings = unverified(report, verify)
  for (const { reason, ...warning } of warnings) toolbox.logger.warn(reason, { imageId, ...warning })
  return warnings
}

/** The same without a word to the log. Without a report the bytes were there already, and verified before. */
export function unverified(
  report: Pick<DownloadReport, 'hash'> | undefined,
  verify: VerifyPolicy | undefined,
): readonly Refusal[] {
  if (report === undefined || report.hash?.verified === true || verify === 'none') return []
  return [
    {
      rule: 'unverified',
      reason: "The image's bytes could not be verified: its record has no hash to compare with.",
      found: report.hash === undefined ? 'no hash' : `${report.hash.algorithm} ${report.hash.value}`,
      accepted: "an image with os_hash_value or checksum; verify: 'strict' refuses any other",
    },
  ]
}
