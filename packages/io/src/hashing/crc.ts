/** Remainders of eight bytes at once: of each byte alone, then with one to seven zeros behind it. */
interface Tables {
  readonly low: Int32Array
  /** Above 32 bits. */
  readonly high: Int32Array
}

/** Made when first needed. */
function tables(): Tables {
  return { low: new Int32Array(2048), high: new Int32Array(2048) }
}

const castagnoli = tables()
const nvme = tables()

/** @param polynomial reflected */
function filled({ low, high }: Tables, polynomial: bigint): Tables {
  if (low[1] !== 0) return { low, high }
  const values = new BigUint64Array(2048)
  for (let index = 0; index < 2048; index += 1) {
    let value = BigInt(index)
    if (index < 256) {
      for (let bit = 0; bit < 8; bit += 1)
        value = (value & 1n) === 0n ? value >> 1n : (value >> 1n) ^ polynomial
    } else {
      const before = values[index - 256] as bigint
      value = (before >> 8n) ^ (values[Number(before & 255n)] as bigint)
    }
    values[index] = value
    low[index] = Number(BigInt.asIntN(32, value))
    high[index] = Number(BigInt.asIntN(32, value >> 32n))
  }
  return { low, high }
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength)

/**
 * CRC-32C (Castagnoli), as Google Cloud and S3 have it.
 *
 * @param value of the bytes before these
 * @see https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4
 */
export function crc32c(bytes: Uint8Array, value = 0): number {
  const { low: table } = filled(castagnoli, 0x82f63b78n)
  const view = viewOf(bytes)
  const end = bytes.length - 7
  let crc = ~value
  let at = 0
  for (; at < end; at += 8) {
    const first = crc ^ view.getInt32(at, true)
    const second = view.getInt32(at + 4, true)
    crc =
      (table[1792 + (first & 255)] as number) ^
      (table[1536 + ((first >>> 8) & 255)] as number) ^
      (table[1280 + ((first >>> 16) & 255)] as number) ^
      (table[1024 + (first >>> 24)] as number) ^
      (table[768 + (second & 255)] as number) ^
      (table[512 + ((second >>> 8) & 255)] as number) ^
      (table[256 + ((second >>> 16) & 255)] as number) ^
      (table[second >>> 24] as number)
  }
  for (; at < bytes.length; at += 1) crc = (crc >>> 8) ^ (table[(crc ^ view.getUint8(at)) & 255] as number)
  return ~crc >>> 0
}

/**
 * CRC-64/NVME, as S3 has it.
 *
 * @param value of the bytes before these
 * @see https://reveng.sourceforge.io/crc-catalogue/17plus.htm#crc.cat.crc-64-nvme
 */
export function crc64nvme(bytes: Uint8Array, value = 0n): bigint {
  const { low, high } = filled(nvme, 0x9a6c9329ac4bc9b5n)
  const view = viewOf(bytes)
  const end = bytes.length - 7
  let lower = ~Number(BigInt.asIntN(32, value))
  let upper = ~Number(BigInt.asIntN(32, value >> 32n))
  let at = 0
  for (; at < end; at += 8) {
    const first = lower ^ view.getInt32(at, true)
    const second = upper ^ view.getInt32(at + 4, true)
    lower =
      (low[1792 + (first & 255)] as number) ^
      (low[1536 + ((first >>> 8) & 255)] as number) ^
      (low[1280 + ((first >>> 16) & 255)] as number) ^
      (low[1024 + (first >>> 24)] as number) ^
      (low[768 + (second & 255)] as number) ^
      (low[512 + ((second >>> 8) & 255)] as number) ^
      (low[256 + ((second >>> 16) & 255)] as number) ^
      (low[second >>> 24] as number)
    upper =
      (high[1792 + (first & 255)] as number) ^
      (high[1536 + ((first >>> 8) & 255)] as number) ^
      (high[1280 + ((first >>> 16) & 255)] as number) ^
      (high[1024 + (first >>> 24)] as number) ^
      (high[768 + (second & 255)] as number) ^
      (high[512 + ((second >>> 8) & 255)] as number) ^
      (high[256 + ((second >>> 16) & 255)] as number) ^
      (high[second >>> 24] as number)
  }
  for (; at < bytes.length; at += 1) {
    const index = (lower ^ view.getUint8(at)) & 255
    lower = (lower >>> 8) ^ (upper << 24) ^ (low[index] as number)
    upper = (upper >>> 8) ^ (high[index] as number)
  }
  return (BigInt(~upper >>> 0) << 32n) | BigInt(~lower >>> 0)
}
