import type { FileHandle } from 'node:fs/promises'
import type {
  CallOptions,
  DownloadReport,
  ImageMetadata,
  ImageService,
  QemuImgInfo,
  RequestContext,
  TemporaryFileOptions,
  TemporaryPath,
} from '@disk-image/core'
import type { Cipher } from '@disk-image/qemu-img'
import type { ConvertImageOptions } from '../convert/convert-image.ts'
import type { TemporaryImageOptions, TemporaryImages } from '../services/temporary-images.ts'
import type { TargetImage } from '../volume-to-image/volume-to-image.ts'
import type { BlockSize, FetchOptions, FetchToVolumeOptions } from './fetch.ts'
import type { QemuDataOptions, QemuImgInfoOptions } from './qemu-info.ts'

/** Keywords of {@link CinderImageUtils.uploadVolume}. */
export interface UploadVolumeOptions extends CallOptions {
  /** The volume, open; read from its start and left open. */
  readonly volumeFd?: FileHandle | undefined
  /** What the volume is. @default 'raw' */
  readonly volumeFormat?: string | undefined
  /** @default true */
  readonly runAsRoot?: boolean | undefined
  /** @default true */
  readonly compress?: boolean | undefined
  readonly storeId?: string | undefined
  readonly baseImageRef?: string | undefined
}

/** Keywords of {@link CinderImageUtils.checkImageFormat}. */
export interface CheckImageFormatOptions extends CallOptions {
  /** What the image is claimed to be. */
  readonly srcFormat?: string | undefined
  /** @default 'internal image' */
  readonly imageId?: string | undefined
  /** What `qemuImgInfo` said, where that is known. */
  readonly data?: QemuImgInfo | undefined
  /** @default true */
  readonly runAsRoot?: boolean | undefined
}

/** Cinder's `image_utils`, function for function, with its parameters in its order. */
export interface CinderImageUtils {
  /** Glance's format name as qemu-img's: vhd is vpc, iso is raw, ploop is parallels. */
  fixupDiskFormat(diskFormat: string): string
  fromQemuImgDiskFormat(diskFormat: string): string
  qemuImgInfo(path: string, options?: QemuImgInfoOptions): Promise<QemuImgInfo>
  /** The format of a file, or undefined where it is not safe to open. */
  getImageFormat(
    path: string,
    options?: { readonly allowQcow2BackingFile?: boolean | undefined },
  ): Promise<string | undefined>
  /** qemu-img's version, or undefined where it can't be told. */
  getQemuImgVersion(): Promise<number[] | undefined>
  checkQemuImgVersion(minimumVersion: string): Promise<void>
  convertImage(source: string, dest: string, outFormat: string, options?: ConvertImageOptions): Promise<void>
  /** Grows a disk to `size` GiB. */
  resizeImage(
    source: string,
    size: number,
    options?: CallOptions & {
      readonly runAsRoot?: boolean | undefined
      readonly fileFormat?: string | undefined
    },
  ): Promise<void>
  getQemuData(
    imageId: string,
    hasMeta: boolean,
    diskFormatRaw: boolean,
    dest: string,
    runAsRoot: boolean,
    options?: QemuDataOptions,
  ): Promise<QemuImgInfo | undefined>

  checkQcow2Image(imageId: string, data: QemuImgInfo): void
  checkVmdkImage(imageId: string, data: QemuImgInfo): void
  checkImageFormat(source: string, options?: CheckImageFormatOptions): Promise<void>
  checkImageConversionDisable(
    diskFormat: string,
    volumeFormat: string,
    imageId: string,
    options?: { readonly upload?: boolean | undefined },
  ): void
  /** Bytes against GiB; returns the disk's size in GiB, rounded up. */
  checkVirtualSize(virtualSize: number, volumeSize: number, imageId: string): number
  checkAvailableSpace(dest: string, imageSize: number, imageId: string): Promise<void>
  decodeCipher(cipherSpec: string, keySize: number): Cipher
  isXenserverFormat(imageMeta: ImageMetadata): boolean
  filterOutReservedNamespacesMetadata(metadata: Readonly<Record<string, unknown>>): Record<string, unknown>

  /** The stored bytes as they are, hash and size verified. */
  fetch(
    context: RequestContext,
    imageService: ImageService | undefined,
    imageId: string,
    path: string,
    options?: FetchOptions,
  ): Promise<DownloadReport>
  /** The same, inspected and judged. */
  fetchVerifyImage(
    context: RequestContext,
    imageService: ImageService | undefined,
    imageId: string,
    dest: string,
    options?: FetchOptions,
  ): Promise<DownloadReport>
  fetchToRaw(
    context: RequestContext,
    imageService: ImageService | undefined,
    imageId: string,
    dest: string,
    blocksize?: BlockSize,
    options?: Omit<FetchToVolumeOptions, 'volumeSubformat'>,
  ): Promise<void>
  fetchToVhd(
    context: RequestContext,
    imageService: ImageService | undefined,
    imageId: string,
    dest: string,
    blocksize?: BlockSize,
    options?: FetchToVolumeOptions,
  ): Promise<void>
  fetchToVolumeFormat(
    context: RequestContext,
    imageService: ImageService | undefined,
    imageId: string,
    dest: string,
    volumeFormat: string,
    blocksize?: BlockSize,
    options?: FetchToVolumeOptions,
  ): Promise<void>
  uploadVolume(
    context: RequestContext,
    imageService: ImageService | undefined,
    imageMeta: TargetImage,
    volumePath: string,
    options?: UploadVolumeOptions,
  ): Promise<void>
  validateStoresId(
    context: RequestContext,
    imageServiceStoreId: string,
    options?: CallOptions & { readonly imageService?: ImageService | undefined },
  ): Promise<void>
  /** True: a signature is there and right. False: there is none. A file with a wrong one is removed. */
  verifyGlanceImageSignature(
    context: RequestContext,
    imageService: ImageService | undefined,
    imageId: string,
    path: string,
    options?: CallOptions,
  ): Promise<boolean>

  setVhdParent(vhdPath: string, parentPath: string): Promise<void>
  coalesceVhd(vhdPath: string, options?: CallOptions): Promise<void>
  /** In MiB. */
  getVhdSize(vhdPath: string): Promise<number>
  /** Grows a VHD to `size` MiB. No journal is needed, so none is written. */
  resizeVhd(vhdPath: string, size: number, journal?: string, options?: CallOptions): Promise<void>
  discoverVhdChain(directory: string): Promise<string[]>
  fixVhdChain(vhdChain: readonly string[]): Promise<void>
  coalesceChain(vhdChain: readonly string[], options?: CallOptions): Promise<string>
  extractTargz(archiveName: string, target: string, options?: CallOptions): Promise<void>
  replaceXenserverImageWithCoalescedVhd(imageFile: string, options?: CallOptions): Promise<void>

  createTemporaryFile(options?: TemporaryFileOptions): Promise<string>
  temporaryFile(options?: TemporaryFileOptions): Promise<TemporaryPath>
  temporaryDir(options?: TemporaryFileOptions): Promise<TemporaryPath>
  /** Removes the temporary files whose names end with the back end's. */
  cleanupTemporaryFile(backendName: string): Promise<void>
  chownIfNeeded(volumePath: string, options?: CallOptions): Promise<AsyncDisposable>
  readonly TemporaryImages: {
    fetch(
      imageService: ImageService,
      context: RequestContext,
      imageId: string,
      options?: TemporaryImageOptions,
    ): Promise<TemporaryPath>
    forImageService(imageService: ImageService): TemporaryImages
  }
}
