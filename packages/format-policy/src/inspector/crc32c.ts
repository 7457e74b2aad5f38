const polynomial = 0x82f63b78

/** The sum of each single byte. */
const table: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ polynomial
  return crc
})

/**
 * CRC-32C (Castagnoli), as VHDX uses it. Four bytes at a `field` count as zero: they hold the sum itself.
 */
export function crc32c(bytes: Uint8Array, field: number): number {
  let crc = 0xffffffff
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = index >= field && index < field + 4 ? 0 : (bytes[index] ?? 0)
    crc = (crc >>> 8) ^ (table[(crc ^ byte) & 255] ?? 0)
  }
  return ~crc >>> 0
}
