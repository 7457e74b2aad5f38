import { viewOf } from '../layouts/fields.ts'

const polynomial = 0x82f63b78

/** The sum of each single byte, then of each with one, two and three zeros behind it; made when first needed. */
const tables: Uint32Array = new Uint32Array(1024)

function fill(made: Uint32Array): void {
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ polynomial
    made[byte] = crc >>> 0
  }
  for (let index = 256; index < 1024; index += 1) {
    const before = made[index - 256] ?? 0
    made[index] = (before >>> 8) ^ (made[before & 255] ?? 0)
  }
}

/**
 * CRC-32C (Castagnoli), as VHDX uses it. Four bytes at a `field`, a multiple of four, count as zero: they hold
 * the sum itself.
 */
export function crc32c(bytes: Uint8Array, field: number): number {
  if (tables[1] === 0) fill(tables)
  const view = viewOf(bytes)
  let crc = ~0
  let at = 0
  for (; at + 4 <= bytes.length; at += 4) {
    if (at !== field) crc ^= view.getUint32(at, true)
    crc =
      (tables[768 + (crc & 255)] ?? 0) ^
      (tables[512 + ((crc >>> 8) & 255)] ?? 0) ^
      (tables[256 + ((crc >>> 16) & 255)] ?? 0) ^
      (tables[crc >>> 24] ?? 0)
  }
  for (; at < bytes.length; at += 1) crc = (crc >>> 8) ^ (tables[(crc ^ view.getUint8(at)) & 255] ?? 0)
  return ~crc >>> 0
}
