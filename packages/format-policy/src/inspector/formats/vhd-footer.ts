import { type Fields, hex, printable } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'

/** Bytes of a VHD footer, and of its copy at the start. */
export const vhdFooterBytes = 512

const largestBytes = 2040n * 1024n ** 3n
const kinds: Readonly<Record<number, string>> = { 2: 'fixed', 3: 'dynamic', 4: 'differencing' }

/** The fields of a VHD footer. */
export interface VhdFooter {
  readonly version: number
  readonly dataOffset: bigint
  /** Bytes of the disk. What the geometry comes to is less, and says nothing. */
  readonly currentSize: bigint
  readonly kind: string | undefined
  readonly checksumHolds: boolean
}

/** Whether a VHD footer stands here: its cookie and a version and a disk type that exist. */
export function isVhdFooter(fields: Fields): boolean {
  return fields.has(0, 'conectix') && fields.u32be(12) === 0x10000 && kinds[fields.u32be(60)] !== undefined
}

/** @see Microsoft, Virtual Hard Disk Image Format Specification 1.0, "Hard Disk Footer Format" */
export function readVhdFooter(fields: Fields): VhdFooter {
  return {
    version: fields.u32be(12),
    dataOffset: fields.u64be(16),
    currentSize: fields.u64be(48),
    kind: kinds[fields.u32be(60)],
    checksumHolds: checksum(fields, vhdFooterBytes, 64) === fields.u32be(64),
  }
}

/** The ones' complement of the sum of all bytes but those of the checksum itself. */
export function checksum(fields: Fields, length: number, field: number): number {
  let sum = 0
  for (let at = 0; at < length; at += 1) if (at < field || at >= field + 4) sum += fields.u8(at)
  return ~sum >>> 0
}

/** What every kind of VHD has in common. */
export function checkVhdFooter(fields: Fields, footer: VhdFooter, offset: number, report: Report): void {
  const wrong = (reason: string, at: number, found: string, accepted: string): void =>
    report.fail('header', { reason, offset: offset + at, found, accepted })
  if (footer.version !== 0x10000) {
    wrong('The version of the format is not known', 12, hex(footer.version), '0x10000')
  }
  if (footer.kind === undefined) wrong('The disk type is not known', 60, `${fields.u32be(60)}`, '2, 3 or 4')
  else report.details.subformat = footer.kind
  if (!footer.checksumHolds) {
    wrong('The checksum of the footer is wrong', 64, hex(fields.u32be(64)), hex(checksum(fields, 512, 64)))
  }
  if (fields.has(28, 'tap') && fields.u32be(32) === 1 && footer.kind !== 'fixed') {
    wrong('The sector bitmaps are in the bit order of blktap 0.1', 32, '0.1', 'a later version')
  }
  report.virtualSize = footer.currentSize
  if (footer.currentSize > largestBytes || footer.currentSize === 0n) {
    report.fail('virtual-size', {
      reason: 'The virtual size is not one that a VHD can have',
      offset: offset + 48,
      found: `${footer.currentSize} bytes`,
      accepted: `1 to ${largestBytes} bytes`,
      reference: 'CVE-2013-2096',
    })
  }
  if (footer.kind === 'differencing') {
    report.fail('backing-file', {
      reason:
        'The image is a differencing disk: without its parent it is incomplete, with it, another file is read',
      offset: offset + 60,
      found: report.details.backingFile ?? 'disk type 4',
      accepted: 'a fixed or dynamic disk',
    })
  }
}

/** UTF-16 text, big endian, up to the first NUL, printable. */
export function utf16be(fields: Fields, at: number, length: number): string {
  let text = ''
  for (let index = 0; index < length; index += 2) {
    const code = fields.u16be(at + index)
    if (code === 0) break
    text += String.fromCharCode(code)
  }
  return printable(text)
}
