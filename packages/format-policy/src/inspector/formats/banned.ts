import { type Fields, printable } from '@disk-image/disk/layouts'
import type { Report } from '../result.ts'

/**
 * Formats that qemu still recognises and that nobody should send: they are refused as such. Their names of
 * other files are shown, because that is what an attacker would use them for.
 */
function banned(report: Report, format: string): void {
  report.expect('allowed-format')
  report.fail('allowed-format', {
    reason: `The ${format} format is outdated and never accepted`,
    offset: 0,
    found: format,
    accepted: 'qcow2 or raw (`qemu-img convert` makes them)',
  })
}

function nameBackingFile(report: Report, name: string, offset: number): void {
  report.details.backingFile = printable(name)
  report.fail('backing-file', {
    reason: 'The image has a backing file: a tool that opens it opens that file of the host too',
    offset,
    found: printable(name),
    accepted: 'an image without a backing file',
    reference: 'CVE-2015-5163',
  })
}

/** qcow, the forerunner of qcow2 (version 1 behind the same magic). */
export function examineQcow(head: Fields, report: Report): void {
  banned(report, 'qcow')
  report.expect('backing-file')
  report.details.version = 1
  report.virtualSize = head.u64be(24)
  const offset = head.u64be(8)
  if (offset === 0n) return
  const inside = offset < BigInt(head.length)
  nameBackingFile(report, inside ? head.text(Number(offset), Math.min(head.u32be(16), 1023)) : '', 8)
}

/** QED, the abandoned QEMU enhanced disk. */
export function examineQed(head: Fields, report: Report): void {
  banned(report, 'qed')
  report.expect('backing-file')
  report.virtualSize = head.u64le(48)
  if ((head.u64le(16) & 1n) === 0n) return
  nameBackingFile(report, head.text(head.u32le(56), Math.min(head.u32le(60), 1023)), 56)
}

/** Growing Bochs images. */
export function examineBochs(_head: Fields, report: Report): void {
  banned(report, 'bochs')
}

/** Compressed loop images. */
export function examineCloop(_head: Fields, report: Report): void {
  banned(report, 'cloop')
}

/** Apple disk images, told by their trailer. */
export function examineDmg(_head: Fields, report: Report): void {
  banned(report, 'dmg')
}
