import path from 'node:path'
import { InvalidError, NotSupportedOperationError } from '@disk-image/core'
import { resolvePlace } from '@disk-image/host'
import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'

/**
 * Refuses a destination that can't be written, before anything is downloaded for it.
 *
 * A missing node under /dev is never made: writing there would create a regular file in RAM.
 *
 * @throws {InvalidError} naming the path and what is wrong with it
 */
export async function checkDestination(destination: string): Promise<void> {
  if (!path.isAbsolute(destination) || destination.includes('\0')) {
    throw new InvalidError({
      reason: `The destination must be an absolute path; it is ${JSON.stringify(destination)}.`,
    })
  }
  const place = await resolvePlace(destination)
  if (place.found === undefined) await checkFolder(path.dirname(place.path))
  else if (!place.found.isFile() && !place.found.isBlockDevice()) {
    throw new InvalidError({ reason: `${destination} is neither a regular file nor a block device.` })
  }
}

async function checkFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(ignoreMissing)
  if (found === undefined || !found.isDirectory()) {
    throw new InvalidError({ reason: `There is no folder ${folder} to make the destination in.` })
  }
  await access(folder, constants.W_OK | constants.X_OK).catch((cause: NodeJS.ErrnoException) => {
    if (!['EACCES', 'EPERM', 'EROFS'].includes(cause.code ?? '')) throw cause
    throw new InvalidError({ reason: `No file can be made in ${folder}: it is not writable.`, cause })
  })
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) {
    return undefined
  }
  throw error
}

/** Whether this process may write the destination itself, or make it. */
export async function isWritable(destination: string): Promise<boolean> {
  const may = (file: string): Promise<boolean> =>
    access(file, constants.W_OK).then(
      () => true,
      () => false,
    )
  const found = await stat(destination).catch(() => undefined)
  return may(found === undefined ? path.dirname(destination) : destination)
}

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
