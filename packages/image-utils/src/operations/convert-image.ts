import { type CallOptions, type QemuImgInfo, toQemuFormat } from '@disk-image/core'
import { checkImageFormat as checkFormatOf } from '@disk-image/format-policy'
import { type HeldFile, isBlockDevice, spaceError, supportsDirectIo } from '@disk-image/host'
import { checkSubformat, type Cipher } from '@disk-image/qemu-img'
import { Cleanup } from '../cleanup.ts'
import type { Throttle, Toolbox } from '../dependencies.ts'
import { checkEncryption } from '../pipelines/check-encryption.ts'
import { checkDestination, guardDestination } from '../pipelines/destination.ts'
import { checkUnchanged, withSource } from '../sources/with-source.ts'
import { inspectFile, qemuImgInfo } from './qemu-info.ts'

/** Keywords of {@link convertImage}. */
export interface ConvertImageOptions extends CallOptions {
  readonly outSubformat?: string | undefined
  /** What the source is. @default what the inspector finds */
  readonly srcFormat?: string | undefined
  /** @default true */
  readonly runAsRoot?: boolean | undefined
  readonly throttle?: Throttle | undefined
  /** For `luks`: the cipher, see `decodeCipher`. */
  readonly cipherSpec?: Cipher | undefined
  /** For `luks`: a file with the new passphrase. */
  readonly passphraseFile?: string | undefined
  /** For `luks`: milliseconds that deriving the key shall take on this machine. @default qemu-img's own: 2000 */
  readonly keyDerivationMs?: number | undefined
  /** Compress a qcow2. @default false */
  readonly compress?: boolean | undefined
  /** For an encrypted source: a file with its passphrase. */
  readonly srcPassphraseFile?: string | undefined
  /** Named in errors. @default 'internal image' */
  readonly imageId?: string | undefined
  /** What `qemuImgInfo` said of the source, where that is known. */
  readonly data?: QemuImgInfo | undefined
  readonly disableSparse?: boolean | undefined
  /** Compression of a qcow2. zstd needs qemu 5.1 or newer to read. @default 'zlib' */
  readonly compression?: 'zlib' | 'zstd' | undefined
}

/**
 * Converts a disk with qemu-img. Both formats are always told: what the source is, is what was given, or
 * what the inspector found, never what qemu-img would guess.
 *
 * @throws {ImageUnacceptableError} where the source is not what was claimed, or not acceptable
 * @throws {ProcessExecutionError}
 * @see cinder.image.image_utils.convert_image
 */
export async function convertImage(
  toolbox: Toolbox,
  source: string,
  destination: string,
  outFormat: string,
  options: ConvertImageOptions = {},
): Promise<void> {
  await withSource(source, (held) => convertHeld(toolbox, held, destination, outFormat, options))
}

async function convertHeld(
  toolbox: Toolbox,
  held: HeldFile,
  destination: string,
  outFormat: string,
  options: ConvertImageOptions,
): Promise<void> {
  const source = held.path
  const judged = await held.stamp()
  const runAsRoot = options.runAsRoot ?? true
  const imageId = options.imageId ?? 'internal image'
  if (toolbox.options.rootHelper.length === 0 || !runAsRoot) await checkDestination(destination)
  const target = toQemuFormat(outFormat)
  // As in the original, two passphrases always mean a LUKS volume, whatever format was asked for.
  const reencrypted = options.srcPassphraseFile !== undefined && options.passphraseFile !== undefined
  const volumeFormat = reencrypted ? 'luks' : target
  checkEncryption({
    volumeFormat,
    passphraseFile: options.passphraseFile,
    sourcePassphraseFile: options.srcPassphraseFile,
  })
  checkSubformat(volumeFormat, options.outSubformat)
  const encrypted = volumeFormat === 'luks'
  const { format, virtualSizeBytes } = await sourceDisk(toolbox, source, options, imageId, runAsRoot)
  const compress = (options.compress ?? false) && toolbox.options.imageCompressOnUpload
  const throttle = options.throttle ?? toolbox.throttle
  const device = await isBlockDevice(destination)
  await Cleanup.around(async (cleanup) => {
    await guardDestination(destination, cleanup)
    try {
      await toolbox.qemuImg.convert({
        source: { path: source, format, passphraseFile: options.srcPassphraseFile },
        destination: {
          path: destination,
          format: volumeFormat,
          subformat: options.outSubformat === '' ? undefined : options.outSubformat,
          forceSize: volumeFormat === 'vpc',
          passphraseFile: encrypted ? options.passphraseFile : undefined,
          cipher: encrypted ? options.cipherSpec : undefined,
          keyDerivationMs: encrypted ? options.keyDerivationMs : undefined,
          compression: compress && target === 'qcow2' ? (options.compression ?? 'zlib') : 'none',
        },
        virtualSizeBytes,
        sparse: options.disableSparse !== true,
        directIo: device && (await supportsDirectIo(destination)),
        throttlePrefix: throttle.prefix,
        rateLimitBytesPerSecond: throttle.rateBytesPerSecond,
        asRoot: runAsRoot,
        signal: options.signal,
        onProgress: options.onProgress,
      })
    } catch (error) {
      const need = { path: destination, imageId, neededBytes: virtualSizeBytes }
      throw (await spaceError(error, need)) ?? error
    }
    if (format !== 'raw') await checkUnchanged(held, judged, imageId)
  })
}

/** What the source is. An encrypted one tells its size only to who has the passphrase. */
async function sourceDisk(
  toolbox: Toolbox,
  source: string,
  options: ConvertImageOptions,
  imageId: string,
  runAsRoot: boolean,
): Promise<{ readonly format: string; readonly virtualSizeBytes?: number }> {
  const { srcFormat } = options
  if (options.srcPassphraseFile !== undefined) {
    // Encrypted is either a qcow2 with LUKS inside, or a LUKS volume itself, whatever the record calls it.
    return { format: await encryptedFormat(toolbox, source, imageId) }
  }
  const data = options.data ?? (await qemuImgInfo(toolbox, source, { runAsRoot, signal: options.signal }))
  checkFormatOf(imageId, srcFormat, data, { allowedTypes: toolbox.options.vmdkAllowedTypes })
  const known = srcFormat === undefined || srcFormat.toLowerCase() === 'ami' ? data.fileFormat : srcFormat
  const format = toQemuFormat(known ?? 'raw')
  return Number.isSafeInteger(data.virtualSize) ? { format, virtualSizeBytes: data.virtualSize } : { format }
}

async function encryptedFormat(toolbox: Toolbox, source: string, imageId: string): Promise<string> {
  const inspection = await inspectFile(source)
  if (inspection.format !== 'qcow2') return 'luks'
  toolbox.policy.check(imageId, { claimedFormat: 'qcow2', inspection })
  return 'qcow2'
}
