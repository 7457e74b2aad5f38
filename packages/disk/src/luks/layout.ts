import { Fields } from '../layouts/fields.ts'
import { luks1Bytes, type LuksLayout, nothing } from './luks-layout.ts'
import { parseLuks1 } from './layout-1.ts'
import { luks2HeaderBytes } from './headers-2.ts'
import { parseLuks2 } from './layout-2.ts'

/** `LUKS\xba\xbe`. */
export function startsAsLuks(head: Fields): boolean {
  return head.has(0, [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe])
}

/**
 * Bytes of the file's start that {@link parseLuks} wants to know: 592 of version 1, both headers of version 2.
 *
 * @param head the first 4 KiB, or the whole file
 */
export function luksHeadBytes(head: Uint8Array): number {
  const fields = new Fields(head)
  return startsAsLuks(fields) && fields.u16be(6) === 2 ? (luks2HeaderBytes(fields) ?? 4096) : luks1Bytes
}

/**
 * Parses a LUKS header, version 1 or 2.
 *
 * @param head the file's first {@link luksHeadBytes} bytes or more, or the whole file
 * @param fileBytes of the whole file; Infinity where that is not known yet
 * @see https://gitlab.com/cryptsetup/cryptsetup/-/wikis/LUKS-standard/on-disk-format.pdf
 * @see https://gitlab.com/cryptsetup/LUKS2-docs
 */
export function parseLuks(head: Uint8Array, fileBytes: number): LuksLayout {
  const fields = new Fields(head)
  const version = startsAsLuks(fields) ? fields.u16be(6) : 0
  if (version === 1) return parseLuks1(fields, fileBytes)
  if (version === 2) return parseLuks2(fields, fileBytes)
  const rest = { offset: 6, found: `${version}`, accepted: '1 or 2' }
  const problem = startsAsLuks(fields)
    ? { rule: 'luks-version', reason: `LUKS version ${version} is not known`, ...rest }
    : { rule: 'luks-header', reason: 'There is no LUKS header', offset: 0 }
  return Object.freeze({ ...nothing, version, problems: [problem] })
}
