/** Bytes that lay behind a gzip and are no part of it. */
export interface GzipTrailer {
  readonly kind: 'zeros' | 'fwtool'
  /** Byte of the compressed data at which it begins. */
  readonly offset: number
  readonly bytes: number
}

/** Longest trailer that is looked into: metadata, a signature and its certificates. */
export const longestTrailer: number = 64 * 1024

/**
 * Whether bytes are what OpenWrt appends to its images: metadata and signatures, and behind each of them 16 bytes:
 * `FWx0`, a checksum, the kind, and the length of both, big endian. The length is not exact in every image, so only
 * the last one's mark counts.
 *
 * @see https://git.openwrt.org/project/fwtool.git
 */
export function isFwtoolTrailer(bytes: Uint8Array): boolean {
  if (bytes.length < 16) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 16, 16)
  const length = view.getUint32(12)
  const isMark = view.getUint32(0) === 0x46577830 && view.getUint16(9) === 0 && view.getUint8(11) === 0
  return isMark && length >= 16 && length <= bytes.length
}
