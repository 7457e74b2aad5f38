import { InvalidError, NotSupportedOperationError } from '@disk-image/core'

/** What is known of the keys before anything is opened. */
export interface EncryptionRequest {
  /** In qemu-img's terms. */
  readonly volumeFormat: string
  readonly passphraseFile: string | undefined
  readonly sourcePassphraseFile: string | undefined
  readonly decrypt: boolean | undefined
}

/**
 * Refuses keys that don't fit together: an encrypted image becomes an encrypted volume, unless it is asked in so many
 * words for a raw one, and an encrypted volume needs its passphrase.
 *
 * @throws {NotSupportedOperationError | InvalidError}
 */
export function checkEncryption(request: EncryptionRequest): void {
  const { volumeFormat, passphraseFile, sourcePassphraseFile, decrypt = false } = request
  if (decrypt) {
    if (sourcePassphraseFile !== undefined && passphraseFile === undefined && volumeFormat === 'raw') return
    const reason =
      'decrypt is for a raw volume, and needs the passphrase of the image: give sourcePassphraseFile.'
    throw new InvalidError({ reason })
  }
  if (sourcePassphraseFile !== undefined && (passphraseFile === undefined || volumeFormat !== 'luks')) {
    throw new NotSupportedOperationError({
      operation: `Can't create unencrypted volume ${volumeFormat} from an encrypted source volume.`,
    })
  }
  if (volumeFormat === 'luks' && passphraseFile === undefined) {
    throw new InvalidError({ reason: 'A luks volume needs a passphrase: give passphraseFile.' })
  }
}
