import { ImageError } from '@disk-image/core'
import type { ImageUtils } from '@disk-image/image-utils'
import type { Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'

/** Flags of a target that is encrypted. */
export interface EncryptionFlags {
  readonly passphraseFile?: string
  readonly sourcePassphraseFile?: string
  readonly decrypt?: boolean
  readonly cipher?: string
  readonly keySize?: number
}

type Cipher = ReturnType<ImageUtils['decodeCipher']>

/** The same in the facade's terms. */
export interface Encryption {
  readonly passphraseFile: string | undefined
  readonly sourcePassphraseFile: string | undefined
  readonly decrypt: boolean | undefined
  readonly cipherSpec: Cipher | undefined
}

/** Key bits where `--key-size` is not given: what LUKS volumes have by default. */
const defaultKeySize = 256

/**
 * Reads the flags of an encrypted target.
 *
 * @throws {UsageError} where they don't go together, or name no cipher
 */
export function readEncryption(
  session: Session,
  imageUtils: ImageUtils,
  flags: EncryptionFlags,
  format: string,
): Encryption {
  const { passphraseFile, sourcePassphraseFile, decrypt = false, cipher, keySize } = flags
  if (format === 'luks' && passphraseFile === undefined) {
    throw new UsageError('A luks volume needs --passphrase-file FILE.')
  }
  const encrypts = format === 'luks' || (sourcePassphraseFile !== undefined && !decrypt)
  if (!encrypts && (passphraseFile ?? cipher ?? keySize) !== undefined) {
    throw new UsageError(
      '--passphrase-file, --cipher and --key-size are for luks volumes: give --format luks (convert: --to luks) too.',
    )
  }
  if (decrypt && (sourcePassphraseFile === undefined || passphraseFile !== undefined || format !== 'raw')) {
    throw new UsageError('--decrypt goes with --source-passphrase-file FILE, and with a raw volume.')
  }
  if (sourcePassphraseFile !== undefined && passphraseFile === undefined && !decrypt) {
    throw new UsageError(
      'What is encrypted is only written to an encrypted volume: give --passphrase-file FILE too, or --decrypt for a raw one.',
    )
  }
  if (keySize !== undefined && cipher === undefined) throw new UsageError('--key-size goes with --cipher.')
  return {
    passphraseFile: passphraseFile === undefined ? undefined : session.resolve(passphraseFile),
    sourcePassphraseFile:
      sourcePassphraseFile === undefined ? undefined : session.resolve(sourcePassphraseFile),
    decrypt,
    cipherSpec: cipher === undefined ? undefined : decode(imageUtils, cipher, keySize ?? defaultKeySize),
  }
}

function decode(imageUtils: ImageUtils, cipher: string, keySize: number): Cipher {
  try {
    return imageUtils.decodeCipher(cipher, keySize)
  } catch (error) {
    if (!ImageError.is(error)) throw error
    throw new UsageError(`--cipher ${cipher} with ${keySize} bits: ${error.message}`, { cause: error })
  }
}
