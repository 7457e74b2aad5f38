const polynomial = 0x82f63b78

/** CRC-32C (Castagnoli) of a few KiB, whose bytes 4 to 8 hold the sum itself and count as zero. */
export function crc32cOf(view: DataView): number {
  let crc = ~0
  for (let at = 0; at < view.byteLength; at += 1) {
    crc ^= at >= 4 && at < 8 ? 0 : view.getUint8(at)
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ polynomial
  }
  return ~crc >>> 0
}
