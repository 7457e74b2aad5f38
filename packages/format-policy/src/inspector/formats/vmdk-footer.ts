import { Fields, hex } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import type { ImageEnd } from '../engine/steps.ts'
import { atEndMark, readVmdkHeader, type VmdkHeader } from './vmdk-header.ts'

const sector = 512
const footerMarker = 3

/**
 * Checks the last three sectors of an image whose grain directory is at its end: a marker, a copy of the
 * header that knows where the directory is, and the end-of-stream marker. Every reader goes on with the copy,
 * so it must say what the header says.
 *
 * @returns the footer's header, undefined if there is none
 */
export function checkVmdkFooter(header: VmdkHeader, end: ImageEnd, report: Report): VmdkHeader | undefined {
  const base = end.sizeBytes - 3 * sector
  const wrong = (reason: string, at: number, found: string, accepted: string): void =>
    report.fail('footer', { reason, offset: Math.max(0, base + at), found, accepted })
  const fields = new Fields(end.tail.subarray(-3 * sector))
  if (fields.length < 3 * sector || end.sizeBytes < 4 * sector) {
    wrong('The file is too short for its footer', 0, `${end.sizeBytes} bytes`, 'a footer of 1536 bytes')
    return undefined
  }
  const footer = readVmdkHeader(fields.part(sector, sector))
  if (footer.magic !== header.magic) {
    wrong('The footer is missing', sector, 'no header in the last but one sector', 'a copy of the header')
    return undefined
  }
  if (fields.u32le(8) !== 0 || fields.u32le(12) !== footerMarker || !fields.isZero(16, sector - 16)) {
    wrong(
      'The marker before the footer is wrong',
      0,
      `type ${fields.u32le(12)}`,
      'type 3, size 0, then zeros',
    )
  }
  if (!fields.isZero(2 * sector, sector)) {
    wrong('The end-of-stream marker is wrong', 2 * sector, 'bytes that are not zero', 'zeros')
  }
  if (footer.directory === atEndMark) {
    wrong('The footer points at a footer again', sector + 56, hex(atEndMark), 'a sector')
  }
  const same: readonly (keyof VmdkHeader)[] = [
    'version',
    'flags',
    'capacity',
    'grainSize',
    'descriptorOffset',
    'descriptorSize',
    'tableEntries',
    'compression',
  ]
  for (const name of same) {
    if (footer[name] !== header[name]) {
      wrong(`Header and footer disagree about the ${name}`, sector, `${footer[name]}`, `${header[name]}`)
    }
  }
  if (!fields.isZero(sector + 79, sector - 79)) {
    wrong('The footer has bytes where there must be none', sector + 79, 'bytes that are not zero', 'zeros')
  }
  return footer
}
