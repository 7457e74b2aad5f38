import { Fields } from '../layouts/fields.ts'
import { hex } from '../layouts/printable.ts'
import type { Problems } from '../layouts/problems.ts'
import { atEndMark, parseVmdkHeader, type VmdkHeader } from './vmdk-header.ts'

const sector = 512
const footerMarker = 3

/** Marker, copy of the header, end-of-stream marker. */
export const vmdkFooterBytes: number = 3 * sector

/**
 * Checks the last three sectors of an image whose grain directory is at its end: a marker, a copy of the
 * header that knows where the directory is, and the end-of-stream marker. Every reader goes on with the copy,
 * so it must say what the header says.
 *
 * @param tail the last bytes of the file, {@link vmdkFooterBytes} or more where it has them
 * @returns the footer's header, undefined if there is none
 */
export function parseVmdkFooter(
  header: VmdkHeader,
  tail: Uint8Array,
  sizeBytes: number,
  problems: Problems,
): VmdkHeader | undefined {
  const base = sizeBytes - vmdkFooterBytes
  const wrong = (reason: string, at: number, found: string, accepted: string): void =>
    problems.add('footer', { reason, offset: Math.max(0, base + at), found, accepted })
  const fields = new Fields(tail.subarray(-vmdkFooterBytes))
  if (fields.length < vmdkFooterBytes || sizeBytes < 4 * sector) {
    wrong('The file is too short for its footer', 0, `${sizeBytes} bytes`, 'a footer of 1536 bytes')
    return undefined
  }
  const footer = parseVmdkHeader(fields.part(sector, sector))
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
