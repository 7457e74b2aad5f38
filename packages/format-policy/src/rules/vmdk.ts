import type { Verdict } from '@disk-image/core'
import { accepted, enforce } from './enforce.ts'
import { asRecord, type FormatSpecificInfo } from './qcow2.ts'

/** The VMDK create types that are accepted unless told otherwise: those that hold all of their data. */
export const defaultVmdkAllowedTypes: readonly string[] = Object.freeze([
  'streamOptimized',
  'monolithicSparse',
])

/** Options of {@link judgeVmdkImage}. */
export interface VmdkOptions {
  /** Create types that are accepted; an empty list refuses every VMDK. @default {@link defaultVmdkAllowedTypes} */
  readonly allowedTypes?: readonly string[] | undefined
}

/** A VMDK must be of a type that does not draw in other files. */
export function judgeVmdkImage(data: FormatSpecificInfo, options: VmdkOptions = {}): Verdict {
  const allowed = options.allowedTypes ?? defaultVmdkAllowedTypes
  const base = { ok: false, rule: 'vmdk-create-type', reference: 'CVE-2022-47951' } as const
  const wanted = allowed.length === 0 ? 'no VMDK at all' : allowed.join(', ')
  if (allowed.length === 0) {
    return { ...base, reason: 'Image is a VMDK, but no VMDK createType is allowed', accepted: wanted }
  }
  const specific = asRecord(data.formatSpecific)
  const values = specific === undefined ? undefined : asRecord(specific['data'])
  if (values === undefined && !(specific !== undefined && !('data' in specific))) {
    const reason = 'Unable to determine VMDK createType as no format-specific information is available'
    return { ...base, reason, accepted: wanted }
  }
  if (values === undefined || !('create-type' in values)) {
    return { ...base, reason: 'Unable to determine VMDK createType', accepted: wanted }
  }
  const type = values['create-type']
  if (typeof type === 'string' && allowed.includes(type)) return accepted
  const found = String(type).slice(0, 200)
  return { ...base, reason: 'Invalid VMDK create-type specified', found, accepted: wanted }
}

/**
 * @throws {ImageUnacceptableError} where {@link judgeVmdkImage} refuses
 * @see cinder.image.image_utils.check_vmdk_image
 */
export function checkVmdkImage(
  imageId: string | null | undefined,
  data: FormatSpecificInfo,
  options: VmdkOptions = {},
): void {
  enforce(imageId, judgeVmdkImage(data, options))
}
