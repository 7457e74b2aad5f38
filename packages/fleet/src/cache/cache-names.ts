import type { ImageRecord } from '@disk-image/core'

/** The name under which an image's bytes are kept: their hash's. Undefined where the record has no strong one. */
export function cacheNameOf(record: ImageRecord): string | undefined {
  const { os_hash_algo: algorithm, os_hash_value: value } = record
  if (typeof algorithm !== 'string' || typeof value !== 'string' || typeof record.size !== 'number') {
    return undefined
  }
  if (!/^(sha256|sha384|sha512|sha3_256|sha3_384|sha3_512|blake2b)$/.test(algorithm)) return undefined
  // 256 bits of it name a file well enough; it is the whole hash that is verified.
  return /^[0-9a-f]{64,128}$/.test(value) ? `${algorithm}-${value.slice(0, 64)}` : undefined
}
