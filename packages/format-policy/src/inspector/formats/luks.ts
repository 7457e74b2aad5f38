import { type Fields, hex, printable } from '@disk-image/disk/layouts'
import { Report } from '../report.ts'
import type { Check } from '../result.ts'
import { atEnd, type Steps } from '../engine/steps.ts'

/** Bytes of a LUKS 1 header. */
export const headerBytes = 592
const slots = 8
/** Key material begins on a page of its own. */
const firstKeySector = 8
const activeSlot = 0x00ac71f3
const inactiveSlot = 0x0000dead
const mostIterations = 100_000_000

/** `LUKS\xba\xbe`. */
export function startsAsLuks(head: Fields): boolean {
  return head.has(0, [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe])
}

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
  const payload = head.u32be(104)
  const cipher = cipherOf(head)
  report.details.cipher = printable(cipher.join(' '))
  report.details.payloadOffsetBytes = payload * 512
  checkHeader(head, cipher, payload, report)
  const { sizeBytes } = yield* atEnd()
  if (sizeBytes < headerBytes || payload * 512 > sizeBytes) {
    report.fail('truncated', {
      reason: 'The file ends before its encrypted data',
      offset: 104,
      found: `${sizeBytes} bytes`,
      accepted: `at least ${Math.max(headerBytes, payload * 512)} bytes`,
    })
  } else {
    report.virtualSize = BigInt(Math.floor((sizeBytes - payload * 512) / 512) * 512)
  }
}

function cipherOf(head: Fields): readonly string[] {
  return [head.text(8, 32), head.text(40, 32), head.text(72, 32)]
}

/** What is wrong with a header of LUKS 1 that lies in another image, offsets from its start. */
export function problemOfLuks1(head: Fields): Check | undefined {
  const report = new Report()
  if (!startsAsLuks(head) || head.u16be(6) !== 1 || head.length < headerBytes) {
    const finding = { offset: 0, found: 'other bytes', accepted: 'a whole header of LUKS version 1' }
    report.fail('header', { reason: 'There is no LUKS header where the image says', ...finding })
  } else checkHeader(head, cipherOf(head), head.u32be(104), report)
  return report.checks.find(({ ok }) => !ok)
}

function checkHeader(head: Fields, cipher: readonly string[], payload: number, report: Report): void {
  const wrong = (reason: string, offset: number, found: string, accepted: string): void =>
    report.fail('header', { reason, offset, found, accepted })
  if (!cipher.every((name) => /^[a-z0-9][a-z0-9:_-]*$/i.test(name))) {
    wrong('The cipher is not named', 8, printable(cipher.join(' ')), 'cipher, mode and hash')
  }
  const keyBytes = head.u32be(108)
  if (keyBytes === 0 || keyBytes > 512)
    wrong('The key has no possible length', 108, `${keyBytes}`, '1 to 512')
  checkIterations(head.u32be(164), 164, report)
  const regions: { readonly start: number; readonly end: number; readonly slot: number }[] = []
  for (let slot = 0; slot < slots; slot += 1) {
    const at = 208 + slot * 48
    const state = head.u32be(at)
    const start = head.u32be(at + 40)
    const stripes = head.u32be(at + 44)
    if (head.length >= at + 48 && state !== activeSlot && state !== inactiveSlot) {
      wrong('A key slot has no possible state', at, hex(state), `${hex(activeSlot)} or ${hex(inactiveSlot)}`)
    }
    if (head.length >= at + 48 && stripes !== 4000) {
      wrong('A key slot has an impossible number of stripes', at + 44, `${stripes}`, '4000')
    }
    const end = start + Math.ceil((keyBytes * stripes) / 4096) * 8
    if (head.length >= at + 48) regions.push({ start, end, slot })
    if (state === activeSlot) checkIterations(head.u32be(at + 4), at + 4, report)
  }
  for (const { start, end, slot } of regions) {
    const clash = regions.some((other) => other.slot < slot && other.start < end && start < other.end)
    if (start < firstKeySector || end > payload || clash) {
      wrong(
        'Key slots overlap each other, the header or the data',
        248 + slot * 48,
        `sectors ${start} to ${end}`,
        'none',
      )
    }
  }
}

/** Deriving a key costs as much time as the header says, so what it may say is bounded. */
function checkIterations(iterations: number, offset: number, report: Report): void {
  if (iterations >= 1 && iterations <= mostIterations) return
  report.fail('key-derivation', {
    reason:
      iterations === 0
        ? 'The header asks for no work at all, so no key can be derived'
        : 'The header asks for more work than any key needs, which would keep a processor busy',
    offset,
    found: `${iterations} iterations`,
    accepted: `1 to ${mostIterations}`,
  })
}

/**
 * Whether the 512 bytes of the boot record end as a partition table does, other than by chance: there is a
 * random salt in its place if key slot 6 is in use.
 */
export function hidesBootRecord(head: Fields): boolean {
  return head.has(510, [0x55, 0xaa]) && head.u32be(208 + 6 * 48) !== activeSlot
}
