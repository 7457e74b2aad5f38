import { lstat, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { InvalidError } from '@disk-image/core'
import { InvalidVolumeTypeError } from './errors.ts'
import { destinationSecret, type ImageReference, keyOptions, optionList } from './image-reference.ts'
import { kindOf, type QemuImgCallOptions, type QemuImgContext } from './context.ts'

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

/** A new image: where, what, and with which of the format's options. */
export interface CreationOptions extends ImageReference {
  /** `fixed`, `dynamic`, `streamOptimized`, `monolithicSparse` … */
  readonly subformat?: string | undefined
  /** `vpc` only: exactly the disk's size, instead of the next one that a disk geometry has. */
  readonly forceSize?: boolean | undefined
  /** The cipher of a new image with a passphrase. @default qemu-img's own: aes-256, xts, plain64 */
  readonly cipher?: Cipher | undefined
  /**
   * Milliseconds that turning the passphrase into a key shall take on this machine, 1 to 60,000. Whoever guesses
   * passphrases pays it for each guess, whoever opens the image once.
   *
   * @default qemu-img's own: 2000
   */
  readonly keyDerivationMs?: number | undefined
  /** `qcow2`: zlib or zstd; `vmdk`: zlib. @default 'none' */
  readonly compression?: 'none' | 'zlib' | 'zstd' | undefined
  /** `qcow2` only: a power of two from 512 to 2 MiB. @default qemu-img's own: 65536 */
  readonly clusterSizeBytes?: number | undefined
}

/**
 * What `-o` takes; empty where there is nothing to say.
 *
 * @throws {InvalidError} where an option isn't one of the format's
 */
export function creationOptions(image: CreationOptions): string {
  const {
    format,
    subformat,
    forceSize = false,
    compression = 'none',
    passphraseFile,
    clusterSizeBytes,
  } = image
  checkSubformat(format, subformat)
  if (compression !== 'none' && format !== 'qcow2' && !(format === 'vmdk' && compression === 'zlib')) {
    throw new InvalidError({ reason: `A ${format} image can't be compressed with ${compression}` })
  }
  if (forceSize && format !== 'vpc')
    throw new InvalidError({ reason: `forceSize is about vpc, not ${format}` })
  if (clusterSizeBytes !== undefined && format !== 'qcow2') {
    throw new InvalidError({ reason: `clusterSizeBytes is about qcow2, not ${format}` })
  }
  // qemu-img calls the two kinds of a VDI otherwise.
  const isVdi = format === 'vdi'
  return optionList({
    subformat: subformat === '' || isVdi ? undefined : subformat,
    static: isVdi && subformat === 'fixed' ? 'on' : undefined,
    force_size: forceSize ? 'on' : undefined,
    cluster_size: clusterSizeBytes,
    // zlib is what every reader takes, and what images without the option have.
    compression_type: compression === 'zstd' ? 'zstd' : undefined,
    ...(passphraseFile === undefined ? {} : encryptionOptions(image)),
  })
}

/** Variants of a VMDK that are one file. */
const vmdkSubformats = ['monolithicSparse', 'streamOptimized']

/**
 * The other variants of a VMDK put the disk into further files, whose names nobody gave and nobody looks at: one that
 * is there is overwritten, a link is followed, and what is half-written stays.
 *
 * @throws {InvalidError} where the variant isn't one file
 */
export function checkSubformat(format: string, subformat: string | undefined): void {
  if (format.toLowerCase() === 'vdi' && !['', 'dynamic', 'fixed'].includes(subformat ?? '')) {
    const reason = `A VDI is dynamic or fixed, and can't be made as ${JSON.stringify(subformat)}.`
    throw new InvalidError({ reason })
  }
  if (format.toLowerCase() !== 'vmdk' || subformat === undefined || subformat === '') return
  if (vmdkSubformats.includes(subformat)) return
  throw new InvalidError({
    reason: `A VMDK can't be made with the subformat ${JSON.stringify(subformat)}: only ${vmdkSubformats.join(' and ')} are one file.`,
  })
}

function encryptionOptions({
  format,
  cipher,
  keyDerivationMs,
}: CreationOptions): Record<string, string | number | undefined> {
  const prefix = format === 'qcow2' ? 'encrypt.' : ''
  if (cipher !== undefined && !(cipher.cipherAlg && cipher.cipherMode && cipher.ivgenAlg)) {
    throw new InvalidError({ reason: 'A cipher needs all of cipherAlg, cipherMode and ivgenAlg' })
  }
  checkKeyDerivation(keyDerivationMs)
  return {
    ...keyOptions(format, destinationSecret),
    [`${prefix}cipher-alg`]: cipher?.cipherAlg,
    [`${prefix}cipher-mode`]: cipher?.cipherMode,
    [`${prefix}ivgen-alg`]: cipher?.ivgenAlg,
    [`${prefix}iter-time`]: keyDerivationMs,
  }
}

function checkKeyDerivation(keyDerivationMs: number | undefined): void {
  if (keyDerivationMs === undefined) return
  if (Number.isSafeInteger(keyDerivationMs) && keyDerivationMs >= 1 && keyDerivationMs <= 60_000) return
  throw new InvalidError({
    reason: `keyDerivationMs must be a whole number from 1 to 60000, not ${keyDerivationMs}`,
  })
}

/**
 * A missing node under `/dev` is no place for a file: the volume isn't attached. Anything but a file or a
 * block device would be filled, or waited for, to no end.
 *
 * @throws {InvalidError} where it is so
 */
export async function checkDestination(
  context: QemuImgContext,
  path: string,
  { asRoot, signal }: QemuImgCallOptions,
): Promise<void> {
  const kind = await kindOf(path)
  if (kind === 'other') throw new InvalidError({ reason: `${path} is neither a file nor a block device` })
  // A file would be made wherever it leads.
  if (kind === 'missing' && (await isLink(path))) {
    throw new InvalidError({ reason: `${path} is a link to something that does not exist` })
  }
  const folder = await realpath(dirname(path)).catch(() => dirname(path))
  if (!/^\/dev(\/(?!shm\/)|$)/.test(join(folder, basename(path)))) return
  const missing = kind === 'missing' || (kind === 'hidden' && !(await isThere(context, path, asRoot, signal)))
  if (missing) {
    const reason = `There is no device ${path}. Writing there would create a regular file in RAM.`
    throw new InvalidError({ reason })
  }
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink()
  } catch {
    return false
  }
}

async function isThere(
  context: QemuImgContext,
  path: string,
  asRoot: boolean | undefined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await context.runner.run({ file: 'test', args: ['-b', path] }, { asRoot, signal, timeoutMs: 30_000 })
    return true
  } catch {
    signal?.throwIfAborted()
    return false
  }
}
