import type {
  CallOptions,
  Checksum,
  DiskFormat,
  DownloadHash,
  ImageService,
  Refusal,
  RequestContext,
  Target,
  VerifyPolicy,
  WritableDiskFormat,
} from '@disk-image/core'
import type { Cipher } from '@disk-image/qemu-img'
import type { Throttle } from '../services/services.ts'
import type { SourceCacheOptions } from '../sources/source-cache.ts'
import type { DescribedSource } from '../sources/sources.ts'
import type { FormatOptions } from '../write/encode.ts'
import type { Unwrapped } from './unwrap.ts'

/** What is read: an image of a service, or bytes from anywhere. */
export type RequestedImage =
  | {
      /** With a `source`: what it is called in errors and in the report. */
      readonly imageId: string
      /** @default the image's data */
      readonly source?: DescribedSource | string | undefined
    }
  | {
      /** @default the source's name */
      readonly imageId?: string | undefined
      /** Bytes from anywhere, or the word for them, which is opened and closed here: see {@link ImageUtils.openSource}. */
      readonly source: DescribedSource | string
    }

/** What {@link ImageUtils.imageToVolume} is asked to do. */
export type ImageToVolumeRequest = RequestedImage & ImageToVolumeOptions

/** How an image gets onto a volume. */
export interface ImageToVolumeOptions extends CallOptions {
  /** Where the source is a word: what its disk is, see `diskFormat` of {@link DescribedSource}. */
  readonly sourceFormat?: DiskFormat | undefined
  /** Where downloads are kept for the next time, by whatever process. @default nowhere */
  readonly cache?: SourceCacheOptions | undefined
  /** On whose behalf. @default the image service's own account */
  readonly context?: RequestContext | undefined
  /** @default the one given when the facade was made */
  readonly imageService?: ImageService | undefined
  /**
   * Absolute path of a file, made when missing, or of a block device, never made; with a `target` what it is called in
   * errors and in the report.
   */
  readonly volume: string
  /**
   * What takes the raw disk in place of a file or device: from its start to its end, one call after the other. It is
   * committed when everything is verified, otherwise abandoned. @default the volume
   */
  readonly target?: Target | undefined
  /**
   * The disk to take of an archive (OVA) with several: its file's name, the descriptor's name of it (`Hard disk 1`), or
   * its id there (`vmdisk1`). @default the only one
   */
  readonly disk?: string | undefined
  /** @default 'raw' */
  readonly volumeFormat?: WritableDiskFormat | undefined
  /** A variant of the format: `fixed` of vhd, `streamOptimized` of vmdk … */
  readonly volumeSubformat?: string | undefined
  /** Options of the format that is written, where an encoder of ours writes it; otherwise they are refused. */
  readonly formatOptions?: FormatOptions | undefined
  /**
   * The volume's size in GiB: what doesn't fit is refused, and a file becomes so large, whether it was there before
   * or not; a block device has its own size. @default whatever fits the target; a file is as large as the image
   */
  readonly volumeSizeGiB?: number | undefined
  /** Use the root helper where the process itself may not. @default false */
  readonly runAsRoot?: boolean | undefined
  /** Write every byte, zeroes too. @default false */
  readonly disableSparse?: boolean | undefined
  /**
   * Done when the disk has everything. Without it, when the operating system has: sooner, and lost when the power goes.
   * @default true
   */
  readonly durable?: boolean | undefined
  /** What is demanded of the hash. @default 'fallback' */
  readonly verify?: VerifyPolicy | undefined
  /** What the stored bytes must be, whatever `verify` says: each is compared. @default what the source itself says */
  readonly checksums?: readonly Checksum[] | undefined
  /** Write nothing to the volume before everything is verified. @default true for signed images */
  readonly verifyBeforeWrite?: boolean | undefined
  /** Parallel connections of the download. @default 1 */
  readonly connections?: number | undefined
  /** The stores to read from, in this order, where the image is in several. @default the service's order */
  readonly preferStores?: readonly string[] | undefined
  /** For volume format `luks`: a file with the new passphrase. */
  readonly passphraseFile?: string | undefined
  /** For volume format `luks`: the cipher, see `decodeCipher`. */
  readonly cipherSpec?: Cipher | undefined
  /** For volume format `luks`: milliseconds that deriving the key shall take. @default qemu-img's own: 2000 */
  readonly keyDerivationMs?: number | undefined
  /** For an encrypted image that is opened: a file with its passphrase. */
  readonly sourcePassphraseFile?: string | undefined
  /**
   * Write the disk inside an encrypted image onto a raw volume, which is not encrypted. Without it an encrypted image
   * becomes an encrypted volume only. @default false
   */
  readonly decrypt?: boolean | undefined
  /** @default the facade's */
  readonly throttle?: Throttle | undefined
}

/** What {@link ImageUtils.archiveToVolumes} is asked to do: as for one volume, but for which disk goes where. */
export type ArchiveToVolumesRequest = RequestedImage &
  Omit<ImageToVolumeOptions, 'disk' | 'target' | 'volume' | 'volumeSizeGiB'> & {
    /** One for each disk; without names, in the order in which the machine has the disks. */
    readonly volumes: readonly Pick<ImageToVolumeOptions, 'disk' | 'target' | 'volume' | 'volumeSizeGiB'>[]
  }

/** What {@link ImageUtils.imageToVolume} did. */
export interface ImageToVolumeReport {
  readonly imageId: string
  readonly volume: string
  /** The format that the image really had. */
  readonly format: string
  readonly volumeFormat: string
  readonly bytesDownloaded: number
  /** What a killed process had fetched of it, and was not fetched again. */
  readonly resumedBytes: number
  /** Bytes put onto the volume, without holes. */
  readonly bytesWritten: number
  readonly virtualSizeBytes: number
  readonly hash: DownloadHash | undefined
  /** Everything that the stored bytes were compared with; empty where that was only their size. */
  readonly verified: readonly Checksum[]
  /** Whether a signature was there and was right. */
  readonly signatureVerified: boolean
  /** What was accepted and should be known: above all that nothing but the size could be verified. */
  readonly warnings: readonly Refusal[]
  /** What the image was taken out of; undefined where it was in no envelope. */
  readonly unwrapped: Unwrapped | undefined
  readonly resumes: number
  /** By stage. */
  readonly durationSeconds: { readonly download: number; readonly convert: number; readonly total: number }
}
