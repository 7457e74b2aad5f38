import { InvalidError } from '@disk-image/core'

/**
 * The UUID that a caller gives, or one that is made of what is known: the same for the same words.
 *
 * @returns 16 bytes in the order of the text
 * @throws {InvalidError} where it is none, or that of nobody
 */
export function identityOf(given: string | undefined, ...words: readonly (string | number)[]): Uint8Array {
  if (given !== undefined) {
    if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(given) || !/[1-9a-f]/i.test(given)) {
      throw new InvalidError({ reason: `${JSON.stringify(given)} is not a UUID` })
    }
    return Uint8Array.from(Buffer.from(given.replaceAll('-', ''), 'hex'))
  }
  const bytes = Uint8Array.from(
    process
      .getBuiltinModule('node:crypto')
      .createHash('sha256')
      .update(words.join(' '))
      .digest()
      .subarray(0, 16),
  )
  // Version 8, whose content is the maker's own.
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  return bytes
}

/** The same 16 bytes as Windows has a GUID: its first three numbers little-endian. */
export function asGuid(bytes: Uint8Array): Uint8Array {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
  return Uint8Array.from(order, (at) => bytes[at] ?? 0)
}
