import type { Verdict } from '@disk-image/core'
import { accepted, enforce } from './enforce.ts'
import type { Check, InspectionResult } from '../inspector/index.ts'
import { defaultVmdkAllowedTypes } from './image-format.ts'

/** Options of {@link judgeInspection}: what of the inspector's doubts may pass, and what else may not. */
export interface InspectionRules {
  /** @default {@link defaultVmdkAllowedTypes}; an empty list refuses every VMDK */
  readonly vmdkAllowedTypes?: readonly string[] | undefined
  /** Accept qcow2 images with a backing file: for images that the service itself made. @default false */
  readonly allowQcow2BackingFile?: boolean | undefined
  /** @default true */
  readonly allowInternalSnapshots?: boolean | undefined
  /** Accept images whose data is encrypted. @default true */
  readonly allowEncryption?: boolean | undefined
  /** Accept images that their program did not close. @default false */
  readonly allowUnclean?: boolean | undefined
}

/**
 * Whether the inspector's findings let an image be used.
 *
 * @returns the first refusal; its rule is the format and the check, for example `qcow2-backing-file`
 */
export function judgeInspection(inspection: InspectionResult, rules: InspectionRules = {}): Verdict {
  const [first] = refusalsOfInspection(inspection, rules)
  return first ?? accepted
}

/** @throws {ImageUnacceptableError} where {@link judgeInspection} refuses */
export function checkInspection(
  imageId: string | null | undefined,
  inspection: InspectionResult,
  rules: InspectionRules = {},
): void {
  enforce(imageId, judgeInspection(inspection, rules))
}

/** Every refusal, not only the first. */
export function refusalsOfInspection(
  inspection: InspectionResult,
  rules: InspectionRules,
): readonly Verdict[] {
  const refusals: Verdict[] = inspection.checks
    .filter((check) => !check.ok && !isWaived(check, inspection, rules))
    .map((check) => refusal(check, inspection.format))
  const vmdk = judgeCreateType(inspection, rules)
  if (!vmdk.ok) refusals.push(vmdk)
  const { internalSnapshots = 0, encryption } = inspection.details
  if (rules.allowInternalSnapshots === false && internalSnapshots > 0) {
    refusals.push({
      ok: false,
      rule: `${inspection.format}-internal-snapshots`,
      reason: 'The image has internal snapshots, which are not allowed here',
      found: `${internalSnapshots}`,
      offset: 60,
      accepted: 'an image without snapshots (`qemu-img convert` makes one)',
    })
  }
  if (rules.allowEncryption === false && encryption !== undefined) {
    refusals.push({
      ok: false,
      rule: `${inspection.format}-encryption`,
      reason: 'The image is encrypted, which is not allowed here',
      found: encryption,
      offset: inspection.checks.find(({ name }) => name === 'encryption')?.offset,
      accepted: 'an image that is not encrypted',
    })
  }
  return refusals
}

function refusal(check: Check, format: string): Verdict {
  const { name, ok: _, reason = `The check ${name} failed`, ...finding } = check
  const general = ['ambiguous', 'disk-image', 'allowed-format'].includes(name)
  return { ok: false, rule: general ? name : `${format}-${name}`, ...finding, reason }
}

function isWaived(check: Check, inspection: InspectionResult, rules: InspectionRules): boolean {
  const { format, details } = inspection
  if (check.name === 'clean') return rules.allowUnclean === true
  if (check.name === 'backing-file') return rules.allowQcow2BackingFile === true && format === 'qcow2'
  // Whether a type is accepted is the list's to say; how it is spelled is not.
  return (
    check.name === 'create-type' && details.createType !== undefined && check.found === details.createType
  )
}

function judgeCreateType(inspection: InspectionResult, rules: InspectionRules): Verdict {
  if (inspection.format !== 'vmdk') return accepted
  const allowed = rules.vmdkAllowedTypes ?? defaultVmdkAllowedTypes
  const { createType } = inspection.details
  if (createType !== undefined && allowed.some((type) => type.toLowerCase() === createType.toLowerCase())) {
    return accepted
  }
  const none = allowed.length === 0
  return {
    ok: false,
    rule: 'vmdk-create-type',
    reason: none
      ? 'Image is a VMDK, but no VMDK createType is allowed'
      : 'Invalid VMDK create-type specified',
    found: createType ?? 'no createType',
    accepted: none ? 'no VMDK at all' : allowed.join(', '),
    reference: 'CVE-2022-47951',
  }
}
