import type { QemuImgInfo, Verdict } from '@disk-image/core'
import { accepted, enforce } from './enforce.ts'

/** What of `qemu-img info`'s answer the format rules look at. It is a tool's output: nothing is taken for granted. */
export type FormatSpecificInfo = Pick<QemuImgInfo, 'formatSpecific'>

/** A qcow2 image may not keep its data in another file. Its backing file is another rule's matter. */
export function judgeQcow2Image(data: FormatSpecificInfo): Verdict {
  const specific = asRecord(data.formatSpecific)
  const values = specific === undefined ? undefined : asRecord(specific['data'])
  if (values === undefined) {
    return {
      ok: false,
      rule: 'qcow2-format-specific',
      reason: 'Cannot determine format-specific information',
      accepted: 'what qemu-img info prints for a qcow2 image',
    }
  }
  const dataFile = values['data-file']
  if (!isTrue(dataFile)) return accepted
  return {
    ok: false,
    rule: 'qcow2-data-file',
    reason: 'A qcow2 format image is not allowed to have a data file',
    found: String(dataFile).slice(0, 200),
    accepted: 'an image that holds its own data',
    reference: 'CVE-2024-32498',
  }
}

/**
 * @throws {ImageUnacceptableError} where {@link judgeQcow2Image} refuses
 * @see cinder.image.image_utils.check_qcow2_image
 */
export function checkQcow2Image(imageId: string | null | undefined, data: FormatSpecificInfo): void {
  enforce(imageId, judgeQcow2Image(data))
}

/** A plain object, whatever its prototype. */
export function asRecord(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}

/** As the original's language sees it: empty lists and objects count as nothing. */
function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value)
}
