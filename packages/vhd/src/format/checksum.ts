/**
 * The format's checksum: the ones' complement of the sum of all bytes, the field itself counted as zero.
 *
 * @param fieldOffset where the checksum's own four bytes are; none where it is stored elsewhere
 */
export function checksum(bytes: Uint8Array, fieldOffset?: number): number {
  let sum = 0
  for (const byte of bytes) sum += byte
  if (fieldOffset !== undefined) {
    for (const byte of bytes.subarray(fieldOffset, fieldOffset + 4)) sum -= byte
  }
  return ~sum >>> 0
}

/** A view of big-endian fields. */
export function fields(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
