import { ImageUnacceptableError, type Verdict, formatBytes } from '@disk-image/core'
import type { ImageEvidence } from '@disk-image/format-policy'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { hasDriver } from '../route/formats.ts'
import type { Services } from '../services/services.ts'

/** What the policy says of an image's bytes, with the facade's own option for archives. */
export function judgeContent(
  services: Services,
  evidence: ImageEvidence & { readonly inspection: InspectionResult },
): Verdict {
  const { inspection, claimedFormat } = evidence
  const archive = inspection.checks.some(({ name, ok }) => name === 'disk-image' && !ok)
  if (!archive || claimedFormat !== 'raw') return services.policy.judge(evidence)
  if (!services.options.allowArchivesAsRaw) return services.policy.judge(evidence)
  // Several kinds at once, of which no tool opens any, are still just bytes.
  const waived =
    hasDriver(inspection) || inspection.matches.includes('luks')
      ? ['disk-image']
      : ['disk-image', 'ambiguous']
  const checks = inspection.checks.filter(({ name }) => !waived.includes(name))
  return services.policy.judge({ ...evidence, inspection: { ...inspection, format: 'raw', checks } })
}

/**
 * Refuses an image by {@link judgeContent}.
 *
 * @throws {ImageUnacceptableError}
 */
export function checkContent(
  services: Services,
  imageId: string,
  evidence: ImageEvidence & { readonly inspection: InspectionResult },
): void {
  const verdict = judgeContent(services, evidence)
  if (!verdict.ok) throw new ImageUnacceptableError({ ...verdict, imageId })
}

/**
 * Refuses an encrypted container that is to be opened where there is no passphrase. One that is carried as raw bytes
 * is never opened; of a qcow2 the policy judges.
 *
 * @throws {ImageUnacceptableError} rule `luks-encryption`, with what to give
 */
export function checkKey(imageId: string, { format }: InspectionResult, claimed: string | undefined): void {
  if (format !== 'luks' || claimed !== 'luks') return
  throw new ImageUnacceptableError({
    imageId,
    reason: 'The disk is encrypted (luks), and there is no passphrase for it',
    rule: 'luks-encryption',
    found: format,
    offset: 0,
    accepted:
      'its passphrase (srcPassphraseFile, --source-passphrase-file) for a volume of the format luks; or raw as its format, which copies the encrypted bytes',
  })
}

/**
 * The second look: what a reader or a tool makes of a disk must be as large as what was judged, up to the end of the
 * sector.
 *
 * @throws {ImageUnacceptableError} rule `virtual-size-differs`
 */
export function checkSameSize(imageId: string, foundBytes: number, judgedBytes: number | undefined): void {
  if (judgedBytes === undefined || toSectors(foundBytes) === toSectors(judgedBytes)) return
  throw new ImageUnacceptableError({
    imageId,
    rule: 'virtual-size-differs',
    reason: 'its disk is read with another size than it was judged with.',
    found: `${foundBytes} bytes (${formatBytes(foundBytes)})`,
    accepted: `${judgedBytes} bytes (${formatBytes(judgedBytes)})`,
  })
}

function toSectors(bytes: number): number {
  return Math.ceil(bytes / 512)
}
