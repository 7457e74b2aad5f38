import type { ImageUtils, ImageToVolumeRequest } from '@disk-image/image-utils'
import type { Store } from '../store.ts'
import type { Session } from '../session.ts'
import { type EncryptionFlags, readEncryption } from './encryption.ts'
import { resolveDestination } from './file-source.ts'

/** How one image is put onto its volume. */
export interface TransferFlags extends EncryptionFlags {
  readonly format: string
  readonly subformat?: string
  readonly size?: number
  readonly disableSparse?: boolean
  readonly verifyBeforeWrite?: boolean
  /** False: `--no-sync`. */
  readonly sync?: boolean
  readonly connections?: number
  readonly preferStore?: readonly string[]
}

/**
 * The same in the facade's terms, without signal and progress.
 *
 * @param volume absolute, or relative to the working directory
 * @throws {UsageError} where flags don't go together
 */
export function readTransfer(
  session: Session,
  imageUtils: ImageUtils,
  flags: TransferFlags,
  { imageService, context }: Pick<Store, 'imageService' | 'context'>,
  { imageId, volume }: { readonly imageId: string; readonly volume: string },
): ImageToVolumeRequest {
  return {
    ...readEncryption(session, imageUtils, flags, flags.format),
    imageService,
    context,
    imageId,
    volume: resolveDestination(session, volume),
    volumeFormat: flags.format,
    volumeSubformat: flags.subformat,
    volumeSizeGiB: flags.size,
    disableSparse: flags.disableSparse,
    verifyBeforeWrite: flags.verifyBeforeWrite,
    connections: flags.connections,
    preferStores: flags.preferStore,
    durable: flags.sync,
    runAsRoot: session.runAsRoot,
  }
}
