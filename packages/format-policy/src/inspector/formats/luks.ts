import {
  type Fields,
  type Finding,
  luksActiveSlot,
  luks1Bytes,
  parseLuks,
  printable,
  startsAsLuks,
} from '@disk-image/disk/layouts'
import type { Report } from '../result.ts'
import { atEnd, type Steps } from '../engine/steps.ts'

/**
 * LUKS containers. The disk inside can be looked at only with a passphrase, after decryption.
 *
 * @see https://gitlab.com/cryptsetup/cryptsetup/-/wikis/LUKS-standard/on-disk-format.pdf
 */
export function* examineLuks(head: Fields, report: Report): Steps<void> {
  report.expect('version', 'header', 'encryption', 'key-derivation', 'truncated')
  const version = head.u16be(6)
  report.details.version = version
  report.details.encryption = 'luks'
  report.note('encryption', { reason: 'The data is encrypted (luks)', offset: 0 })
  if (version !== 1) {
    const known = version === 2
    report.fail('version', {
      reason: known
        ? 'LUKS version 2 cannot be converted: qemu-img reads version 1 only'
        : `LUKS version ${version} is not known`,
      offset: 6,
      found: `${version}`,
      accepted: known ? 'version 1, or disk format raw, which is copied as it is' : '1',
    })
    return
  }
  const layout = parseLuks(head.bytes, Infinity)
  report.details.cipher = printable([8, 40, 72].map((at) => head.text(at, 32)).join(' '))
  report.details.payloadOffsetBytes = layout.payloadOffset
  report.failAll(layout.problems)
  const { sizeBytes } = yield* atEnd()
  const whole = parseLuks(head.bytes, sizeBytes)
  report.failAll(whole.problems)
  if (!report.hasFailed('truncated')) report.virtualSize = BigInt(whole.sizeBytes)
}

/** What is wrong with a header of LUKS 1 that lies in another image, offsets from its start. */
export function problemOfLuks1(head: Fields): Finding | undefined {
  if (!startsAsLuks(head) || head.u16be(6) !== 1 || head.length < luks1Bytes) {
    return {
      reason: 'There is no LUKS header where the image says',
      offset: 0,
      found: 'other bytes',
      accepted: 'a whole header of LUKS version 1',
    }
  }
  return parseLuks(head.bytes, Infinity).problems[0]
}

/**
 * Whether the 512 bytes of the boot record end as a partition table does, other than by chance: there is a
 * random salt in its place if key slot 6 is in use.
 */
export function hidesBootRecord(head: Fields): boolean {
  return head.has(510, [0x55, 0xaa]) && head.u32be(208 + 6 * 48) !== luksActiveSlot
}
