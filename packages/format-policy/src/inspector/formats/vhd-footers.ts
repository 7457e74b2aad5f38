import type { ImageEnd } from '../engine/steps.ts'
import { Fields, hex } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { isVhdFooter, vhdFooterBytes } from './vhd-footer.ts'

const cookie = 'conectix'
/** What vhd-util writes over the cookie while it resizes. */
const poison = 'v_poison'

/** A footer, or what begins as one, with its place in the file. */
export interface PlacedFooter {
  readonly fields: Fields
  readonly offset: number
}

/** Fields of a footer by which readers tell one disk from another, and where they begin. */
const fieldsOfFooter: readonly (readonly [at: number, name: string])[] = [
  [0, 'cookie'],
  [8, 'features'],
  [12, 'version'],
  [16, 'place of the dynamic header'],
  [24, 'time stamp'],
  [28, 'creator'],
  [36, "creator's host"],
  [40, 'original size'],
  [48, 'size of the disk'],
  [56, 'geometry'],
  [60, 'disk type'],
  [64, 'checksum'],
  [68, 'identity'],
  [84, 'saved state'],
  [85, 'reserved bytes'],
]

/** What begins as a footer at the end: 512 bytes, or 511 as old versions of Virtual PC wrote it. */
function footerLikeAtEnd(end: ImageEnd): PlacedFooter | undefined {
  for (const length of [vhdFooterBytes, vhdFooterBytes - 1]) {
    if (end.tail.length < length) continue
    const fields = new Fields(end.tail.subarray(end.tail.length - length))
    if (fields.has(0, cookie) || fields.has(0, poison)) return { fields, offset: end.sizeBytes - length }
  }
  return undefined
}

/** The footer that the image ends with, if it ends with one. */
export function footerAtEnd(end: ImageEnd): PlacedFooter | undefined {
  const found = footerLikeAtEnd(end)
  return found !== undefined && isVhdFooter(found.fields) ? found : undefined
}

/**
 * Some readers take the footer at the end for the truth and others its copy at the start, so they must be equal.
 * Only where there is none at the end, every reader takes the copy.
 */
export function checkFootersAgree(head: Fields, end: ImageEnd, report: Report): void {
  const last = footerLikeAtEnd(end)
  if (last === undefined) {
    report.note('header', {
      reason: 'The footer at the end is missing; its copy at the start is used',
      offset: Math.max(0, end.sizeBytes - vhdFooterBytes),
    })
    return
  }
  const at = firstDifference(head, last.fields)
  if (at === undefined) return
  const [start, name] = fieldsOfFooter.findLast(([begin]) => begin <= at) ?? [0, 'cookie']
  const next = fieldsOfFooter.find(([begin]) => begin > at)?.[0] ?? start + 8
  const show = (footer: Fields): string => hex(valueOf(footer, start, Math.min(next - start, 8)))
  report.fail('footers-differ', {
    reason: 'The footer and its copy at the start differ, so readers would see different disks',
    offset: last.offset + start,
    found: `${name} ${show(last.fields)}, in the copy ${show(head)}`,
    accepted:
      'two equal footers (`disk-image vhd repair` makes them equal, where the footer at the end is right)',
  })
}

function firstDifference(one: Fields, other: Fields): number | undefined {
  const differs = (at: number): boolean => one.u8(at) !== other.u8(at)
  let checksumAt: number | undefined
  // The last byte is reserved, and the short footer has none.
  for (let at = 0; at < vhdFooterBytes - 1; at += 1) {
    if (!differs(at)) continue
    // The checksum follows from what else differs, which says more.
    if (at >= 68 || at < 64) return at
    checksumAt ??= at
  }
  return checksumAt
}

function valueOf(fields: Fields, at: number, length: number): bigint {
  let value = 0n
  for (let index = 0; index < length; index += 1) value = (value << 8n) | BigInt(fields.u8(at + index))
  return value
}
