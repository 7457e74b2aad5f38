/** Largest window that a frame may ask for. RFC 8878 wants every decoder to have 8 MiB. */
export const maximumWindowLog = 23

/**
 * Bytes of the Zstandard frame that `bytes` begins with, behind which anything may follow.
 *
 * @returns undefined where no whole data frame without dictionary is there, or its window is larger than 8 MiB
 * @see https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1
 */
export function measureZstdFrame(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.byteLength < 6 || view.getUint32(0, true) !== 0xfd2fb528) return undefined
  const descriptor = view.getUint8(4)
  const singleSegment = (descriptor & 0x20) !== 0
  const hasDictionary = (descriptor & 0x03) !== 0
  const hasReservedBit = (descriptor & 0x08) !== 0
  if (hasDictionary || hasReservedBit) return undefined
  // The exponent of the window; its mantissa makes it up to twice as large, less one byte.
  if (!singleSegment && 10 + (view.getUint8(5) >> 3) > maximumWindowLog) return undefined

  const sizeFlag = descriptor >> 6
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 2 ** sizeFlag
  let offset = 5 + (singleSegment ? 0 : 1) + sizeBytes
  for (;;) {
    if (offset + 3 > bytes.byteLength) return undefined
    const header = view.getUint8(offset) | (view.getUint16(offset + 1, true) << 8)
    const type = (header >> 1) & 3
    if (type === 3) return undefined
    // A run-length block is one byte, whatever it says of its size.
    offset += 3 + (type === 1 ? 1 : header >> 3)
    if ((header & 1) !== 0) break
  }
  offset += (descriptor & 0x04) === 0 ? 0 : 4
  return offset > bytes.byteLength ? undefined : offset
}
