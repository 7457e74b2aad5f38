import type { ImageRecord } from '@disk-image/core'

/** Hex digits of the hashes by which images are kept. */
const hexDigits: Readonly<Record<string, number>> = {
  sha256: 64,
  sha384: 96,
  sha512: 128,
  sha3_256: 64,
  sha3_384: 96,
  sha3_512: 128,
  blake2b: 128,
}

/** The name under which an image's bytes are kept: their hash's. Undefined where the record has no strong one. */
export function cacheNameOf(record: ImageRecord): string | undefined {
  const { os_hash_algo: algorithm, os_hash_value: value } = record
  if (typeof algorithm !== 'string' || typeof value !== 'string' || typeof record.size !== 'number') {
    return undefined
  }
  // 256 bits of it name a file well enough; it is the whole hash that is verified.
  const digits = Object.hasOwn(hexDigits, algorithm) ? hexDigits[algorithm] : undefined
  return value.length === digits && /^[0-9a-f]+$/.test(value)
    ? `${algorithm}-${value.slice(0, 64)}`
    : undefined
}
