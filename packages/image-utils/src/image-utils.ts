import type { DiskFormat, ImageService, WritableDiskFormat } from '@disk-image/core'
import type { ConvertImageOptions } from './convert/convert-image.ts'
import type { CinderImageUtils } from './cinder/cinder-image-utils.ts'
import type { VolumesToArchiveReport, VolumesToArchiveRequest } from './convert/volumes-to-archive.ts'
import type { InsideInspector } from './image-to-volume/inspect-inside.ts'
import type { ImageToVolumePlan } from './image-to-volume/plan.ts'
import type {
  ArchiveToVolumesRequest,
  ImageToVolumeReport,
  ImageToVolumeRequest,
} from './image-to-volume/request.ts'
import type { ResolvedOptions } from './services/options.ts'
import type { CheckImageFileOptions } from './volume-to-image/judge-upload.ts'
import type { OpenedSource, OpenSourceOptions } from './sources/open-source.ts'
import type { DescribedSource } from './sources/sources.ts'
import type { SourceToImageReport, SourceToImageRequest } from './volume-to-image/source-to-image.ts'
import type { StreamToImageRequest } from './volume-to-image/stream-to-image.ts'
import type {
  VerifyVolumeChecksumsReport,
  VerifyVolumeChecksumsRequest,
  VerifyVolumeReport,
  VerifyVolumeRequest,
} from './verify/verify-volume.ts'
import type { VolumeToImageReport, VolumeToImageRequest } from './volume-to-image/volume-to-image.ts'

/**
 * Images onto volumes, and volumes into images; and Cinder's functions, by their own names. Made by
 * `createImageUtils`; every method can be taken off the object.
 */
export interface ImageUtils extends CinderImageUtils {
  readonly options: ResolvedOptions
  /** What is used where a call names no image service; undefined where none was given. */
  readonly imageService: ImageService | undefined

  /** An image onto a volume: inspected, judged, verified, written. */
  imageToVolume(request: ImageToVolumeRequest): Promise<ImageToVolumeReport>
  /** The disks of an archive (OVA), each onto its own volume, in one pass. */
  archiveToVolumes(request: ArchiveToVolumesRequest): Promise<ImageToVolumeReport[]>
  /** What `imageToVolume` would do, need and refuse, without writing anything. */
  planImageToVolume(request: ImageToVolumeRequest): Promise<ImageToVolumePlan>
  /** The same of `archiveToVolumes`: a plan for each volume, in their order. */
  planArchiveToVolumes(request: ArchiveToVolumesRequest): Promise<ImageToVolumePlan[]>
  /**
   * Opens what a word names: an image by its id or name, a file, `-`, a URL, an object, an artifact of a registry. What
   * each word means is told by `readWord`. Close it.
   */
  openSource(word: string, options?: OpenSourceOptions): Promise<OpenedSource>
  /** What looks into a source that is wrapped: give it the first bytes. Undefined where it is wrapped in nothing. */
  inspectInside(source: DescribedSource): InsideInspector | undefined
  /** A volume into an image that has no data yet. */
  volumeToImage(request: VolumeToImageRequest): Promise<VolumeToImageReport>
  /** A disk into another format; what the source is, is what was given and what the inspector finds. */
  convertImage(
    source: string,
    destination: string,
    outFormat: WritableDiskFormat,
    options?: ConvertImageOptions & { readonly srcFormat?: DiskFormat | undefined },
  ): Promise<void>
  /** Disks into an archive (OVA), with the description of their machine. */
  volumesToArchive(request: VolumesToArchiveRequest): Promise<VolumesToArchiveReport>
  /** Bytes from anywhere into an image that has no data yet, in one pass, judged on the way. */
  sourceToImage(request: SourceToImageRequest): Promise<SourceToImageReport>
  /** Compares the disk on a volume with that of an image, byte by byte. A difference is no error. */
  verifyVolume(request: VerifyVolumeRequest): Promise<VerifyVolumeReport>
  /** Compares the content of a disk with checksums, whatever format it is kept in. */
  verifyVolumeChecksums(request: VerifyVolumeChecksumsRequest): Promise<VerifyVolumeChecksumsReport>
  /** A stream into an image that is made for it, judged on the way, and taken back where it is refused. */
  streamToImage(request: StreamToImageRequest): Promise<SourceToImageReport>
  /** Judges a file that is to become an image; resolves with its `disk_format`. */
  checkImageFile(path: string, options?: CheckImageFileOptions): Promise<string>
  /** Removes what killed processes left behind, and says what that was. */
  cleanTemporaryFiles(): Promise<{ readonly path: string; readonly sizeBytes: number }[]>
}
