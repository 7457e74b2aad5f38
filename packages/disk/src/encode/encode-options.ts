import { type CallOptions, InvalidError } from '@disk-image/core'
import type { Spool } from '../stream/stream-decoder.ts'
import type { EncodeWorkers } from './encode-workers.ts'

/** What every format is encoded with. A format's own options have its name. */
export interface EncodeOptions extends CallOptions {
  /** In the format's terms. @default what the format is mostly used for */
  readonly subformat?: string | undefined
  /** Bytes that the disk has at least; behind its own end it reads as zero. @default its own */
  readonly sizeBytes?: number | undefined
  /**
   * Whether the length has to be known before the first byte, where the format lets it: a raw disk is read once for
   * that, and once more for its bytes. `false` reads it once where the image is written to its places. @default true
   */
  readonly measure?: boolean | undefined
  /** Of formats that compress: 1 to 9, of zstd 1 to 19. @default 6, of zstd 3 */
  readonly compressionLevel?: number | undefined
  /** Threads that compress, or some that others use, too. @default CPUs, at most 16 */
  readonly workers?: number | EncodeWorkers | undefined
  /**
   * Where what is compressed waits until its tables are known, in formats that have them in front: an empty file, for
   * this image alone. @default such a disk is compressed twice
   */
  readonly spool?: Spool | undefined
  readonly qcow2?: Qcow2EncodeOptions | undefined
  readonly vmdk?: VmdkEncodeOptions | undefined
  /** For `luks`, which needs them. */
  readonly luks?: LuksEncodeOptions | undefined
  readonly vpc?: VhdEncodeOptions | undefined
  readonly vhdx?: VhdxEncodeOptions | undefined
  readonly vdi?: VdiEncodeOptions | undefined
}

/** Options of a qcow2. */
export interface Qcow2EncodeOptions {
  /** 2 is what qemu before 1.7 wants. @default 3 */
  readonly version?: 2 | 3 | undefined
  /** A power of two, 4 KiB to 2 MiB. @default 64 KiB */
  readonly clusterSizeBytes?: number | undefined
  /** `zstd` needs version 3, and qemu 5.1 to be read. @default 'none' */
  readonly compression?: 'none' | 'zlib' | 'zstd' | undefined
}

/** Options of a VMDK. */
export interface VmdkEncodeOptions {
  /** Of the controller that the guest has drivers for. VMware writes `pvscsi` as `lsilogic`. @default 'lsilogic' */
  readonly adapterType?: 'ide' | 'buslogic' | 'lsilogic' | 'pvscsi' | undefined
  /** VMware's number of the oldest virtual hardware that takes the disk. @default 10, that of ESXi 5.5 */
  readonly hardwareVersion?: number | undefined
  /** VMware's number of the tools that the guest has. @default 2147483647: the guest takes care of its own */
  readonly toolsVersion?: number | undefined
  /** The content's identity, which a delta names. @default one made of size and options */
  readonly contentId?: number | undefined
}

/** Options of a LUKS container. */
export interface LuksEncodeOptions {
  /** All bytes of it count, an end of line too. It may be wiped when the container is laid out. */
  readonly passphrase: Uint8Array
  /** @default 1, which qemu reads, too */
  readonly version?: 1 | 2 | undefined
  /** `aes` with `xts-plain64`, `xts-plain`, `cbc-essiv:sha256`, `cbc-plain64` or `cbc-plain`. @default 'aes-xts-plain64' */
  readonly cipher?: string | undefined
  /** Bytes of the key: of XTS, those of both halves. @default 64 of XTS, 32 of CBC: AES-256 */
  readonly keyBytes?: number | undefined
  /** Of the key slot and the digest: sha1, sha256, sha384 or sha512. @default 'sha256' */
  readonly hash?: string | undefined
  /** Argon2id is for version 2, with Node.js 24.7 or newer. @default that where it can be, otherwise PBKDF2 */
  readonly keyDerivation?: 'pbkdf2' | 'argon2id' | undefined
  /**
   * Milliseconds that turning the passphrase into a key shall take on this machine, 1 to 60,000. Whoever guesses
   * passphrases pays it for each guess, whoever opens the container once.
   *
   * @default 2000
   */
  readonly keyDerivationMs?: number | undefined
  /** Of PBKDF2, 1000 at least. @default what takes `keyDerivationMs` */
  readonly iterations?: number | undefined
  /** Most memory that Argon2id takes. @default 1 GiB, or half of what is free */
  readonly memoryBytes?: number | undefined
  /** Of version 2: 512, 1024, 2048 or 4096, that are encrypted together. @default 512 */
  readonly sectorBytes?: number | undefined
  /** Random bytes, for a test that wants the same ones again. @default the system's */
  readonly random?: ((bytes: number) => Uint8Array) | undefined
}

/** @throws {InvalidError} for a level that is none */
export function levelOf(
  { compressionLevel }: Pick<EncodeOptions, 'compressionLevel'>,
  usual: number = 6,
  most: number = 9,
): number {
  const level = compressionLevel ?? usual
  if (Number.isInteger(level) && level >= 1 && level <= most) return level
  throw new InvalidError({ reason: `There is no level ${level} of compression; 1 to ${most} are there.` })
}

/** Options of a VHD. */
export interface VhdEncodeOptions {
  /**
   * In whose way the disk is made: `xenserver` has creator `tap` and a batmap, XenServer and XCP-ng can resize it;
   * `windows` has creator `win `, as Hyper-V and Azure make them. All readers take the size of both from the footer.
   *
   * @default 'xenserver' for dynamic disks, 'windows' for fixed ones
   */
  readonly style?: 'xenserver' | 'windows' | undefined
  /** A UUID. @default one made of the size */
  readonly uniqueId?: string | undefined
  /** When the disk was made, milliseconds since 1970. @default the format's epoch, the year 2000 */
  readonly createdMs?: number | undefined
  /** What the size of a fixed disk is rounded up to, with zeros; Azure wants 1 MiB. @default 512 */
  readonly alignBytes?: number | undefined
}

/** Options of a VHDX. */
export interface VhdxEncodeOptions {
  /** A power of two from 1 to 256 MiB. @default 8 to 64 MiB, by the size of the disk, as qemu has it */
  readonly blockBytes?: number | undefined
  /** What the disk's size is rounded up to: 512 or 4096. @default 512 */
  readonly logicalSectorBytes?: number | undefined
  /** 512 or 4096. @default 4096 */
  readonly physicalSectorBytes?: number | undefined
  /** The disk's UUID, which its guest sees. @default one made of the size */
  readonly uniqueId?: string | undefined
}

/** Options of a VDI. */
export interface VdiEncodeOptions {
  /** A UUID; VirtualBox registers no two disks with the same. @default one made of the size */
  readonly uniqueId?: string | undefined
}
