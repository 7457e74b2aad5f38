import { InvalidVolumeTypeError } from './errors/invalid-volume-type-error.ts'

/** A LUKS cipher as `qemu-img`'s options name its parts. */
export interface Cipher {
  /** With the key's bits: `aes-256`. */
  readonly cipherAlg: string
  /** `xts`, `cbc` … */
  readonly cipherMode: string
  /** `plain64`, `essiv` … */
  readonly ivgenAlg: string
}

/**
 * Takes a cipher name in dm-crypt's notation apart: `aes-xts-plain64` with 256 is `aes-256`, `xts`, `plain64`.
 *
 * @throws {InvalidVolumeTypeError} where it has not three parts
 * @see cinder.image.image_utils.decode_cipher
 */
export function decodeCipher(cipherSpec: string, keySizeBits: number | bigint | null | undefined): Cipher {
  const [algorithm, cipherMode, ivgenAlg, ...more] =
    typeof cipherSpec === 'string' ? cipherSpec.split('-') : []
  if (algorithm === undefined || cipherMode === undefined || ivgenAlg === undefined || more.length > 0) {
    throw new InvalidVolumeTypeError({ reason: 'Invalid cipher field in encryption type' })
  }
  return { cipherAlg: `${algorithm}-${keySizeBits ?? 'None'}`, cipherMode, ivgenAlg }
}
