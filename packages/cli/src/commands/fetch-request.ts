import type { Store } from '../store.ts'
import type { Session } from '../session.ts'
import { type DiskFormat, type WritableDiskFormat, GiB } from '@disk-image/core'
import type {
  ImageToVolumeOptions,
  ImageUtils,
  RequestedImage,
  SourceCacheOptions,
} from '@disk-image/image-utils'
import { type EncryptionFlags, readEncryption } from './encryption.ts'
import { openDestination } from './file-source.ts'
import { readFormatOptions } from './format-options.ts'
import { readManner, type SourceFlags } from './open-word.ts'

/** What is fetched, and what it is called. */
export type NamedImage = RequestedImage & { readonly imageId: string }

/** How one image is put onto its volume. */
export interface TransferFlags extends EncryptionFlags, SourceFlags {
  readonly cache?: string
  readonly verify?: 'strict' | 'fallback' | 'none'
  /** GiB. */
  readonly cacheSize?: number
  readonly as?: DiskFormat
  readonly format: WritableDiskFormat
  readonly subformat?: string
  readonly option?: readonly string[]
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
 * @param image an image's id, or what it is called and where it comes from
 * @param volume absolute, or relative to the working directory
 * @throws {UsageError} where flags don't go together
 */
export function readTransfer(
  session: Session,
  imageUtils: ImageUtils,
  flags: TransferFlags,
  store: Pick<Store, 'imageService' | 'context'> | undefined,
  { volume, ...image }: NamedImage & { readonly volume: string },
): NamedImage & ImageToVolumeOptions {
  return {
    ...readManner(flags),
    sourceFormat: flags.as,
    cache: flags.cache === undefined ? undefined : cacheOf(session, flags.cache, flags.cacheSize),
    ...readEncryption(session, imageUtils, flags, flags.format),
    imageService: store?.imageService,
    context: store?.context,
    ...image,
    ...openDestination(session, volume),
    volumeFormat: flags.format,
    volumeSubformat: flags.subformat,
    formatOptions: readFormatOptions(flags.format, flags.option),
    volumeSizeGiB: flags.size,
    disableSparse: flags.disableSparse,
    verify: flags.verify,
    verifyBeforeWrite: flags.verifyBeforeWrite,
    connections: flags.connections,
    preferStores: flags.preferStore,
    durable: flags.sync,
    runAsRoot: session.runAsRoot,
  }
}

const defaultCacheGiB = 100

function cacheOf(session: Session, folder: string, sizeGiB = defaultCacheGiB): SourceCacheOptions {
  return { directory: session.resolve(folder), maxBytes: Math.round(sizeGiB * GiB) }
}
