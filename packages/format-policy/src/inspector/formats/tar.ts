import type { Fields } from '@disk-image/disk/layouts'

const checksumAt = 148
const magicAt = 257

/**
 * A tar header, of POSIX, GNU, or the seventh edition of UNIX, which has no magic: then the checksum must be
 * written as tar programs write it, and what it is the sum of must make sense.
 */
export function isTar(head: Fields): boolean {
  if (head.length < 512) return false
  const text = head.text(checksumAt, 8).trim()
  if (!/^[0-7]{1,7}$/.test(text) || Number.parseInt(text, 8) !== checksumOf(head)) return false
  if (head.has(magicAt, 'ustar')) return true
  const isNamed = head.u8(0) > 0x20 && head.u8(0) !== 0x7f
  const hasNumbers = [100, 108, 116, 124, 136].every((at) =>
    /^[0-7 ]{0,12}$/.test(head.text(at, at < 124 ? 8 : 12)),
  )
  const kind = head.u8(156)
  return isNamed && hasNumbers && (kind === 0 || (kind >= 0x30 && kind <= 0x37))
}

/** An archive whose first file is an OVF description, as its standard has it. */
export function isOva(head: Fields): boolean {
  return isTar(head) && /\.ovf$/i.test(head.text(0, 100))
}

/** Where the mark of an archive stands. */
export function tarMagicAt(head: Fields): number {
  return head.has(magicAt, 'ustar') ? magicAt : checksumAt
}

function checksumOf(head: Fields): number {
  let sum = 0
  for (let at = 0; at < 512; at += 1) sum += at >= checksumAt && at < checksumAt + 8 ? 0x20 : head.u8(at)
  return sum
}
