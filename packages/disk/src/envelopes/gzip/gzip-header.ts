/** Longest header that is taken: names and comments are short. */
const longestHeader = 128 * 1024
const deflate = 8
const [checksum, extra, name, comment, reserved] = [2, 4, 8, 16, 0xe0]

/**
 * Bytes of the header that a gzip member begins with.
 *
 * @returns undefined where there are too few bytes to tell, 0 where it is none
 * @see RFC 1952, 2.3 "Member format"
 */
export function gzipHeaderBytes(bytes: Uint8Array): number | undefined {
  const magic = [0x1f, 0x8b, deflate]
  for (const [at, expected] of magic.entries()) {
    if (at >= bytes.length) return undefined
    if (bytes[at] !== expected) return 0
  }
  const flags = bytes[3]
  if (flags === undefined) return undefined
  if ((flags & reserved) !== 0) return 0
  let at = 10
  if ((flags & extra) !== 0) at += 2 + (bytes[at] ?? 0) + 256 * (bytes[at + 1] ?? 0)
  for (const flag of [name, comment]) {
    if ((flags & flag) === 0) continue
    const end = at < bytes.length ? bytes.indexOf(0, at) : -1
    if (end < 0) return bytes.length > longestHeader ? 0 : undefined
    at = end + 1
  }
  if ((flags & checksum) !== 0) at += 2
  return at <= bytes.length ? at : undefined
}
