import type { FileHandle } from 'node:fs/promises'
import {
  type WritableDiskFormat,
  type Cipher,
  createDirectoryImageService,
  createImageUtils,
  type DownloadReport,
  type ImageService,
  type ImageToVolumePlan,
  type ImageToVolumeReport,
  type ImageUtils,
  type QemuImgInfo,
  type RequestContext,
  type TargetImage,
  type TemporaryPath,
  type VolumeToImageReport,
} from '../../src/index.ts'

/** Compiles where each type goes where the other does, and neither is `any`. */
type Same<Left, Right> = 0 extends 1 & Left ? never : [Left, Right] extends [Right, Left] ? true : never
function same<Left, Right>(..._proof: [Same<Left, Right>]): void {}
type Result<Name extends keyof ImageUtils> = ImageUtils[Name] extends (...words: never[]) => infer Returned
  ? Returned
  : never

/** The first parameters of a function. */
type Leading<Name extends keyof ImageUtils, Count extends number> =
  Required<Parameters<Extract<ImageUtils[Name], (...words: never[]) => unknown>>> extends infer Words extends
    unknown[]
    ? Take<Words, Count>
    : never
type Take<
  Words extends unknown[],
  Count extends number,
  Taken extends unknown[] = [],
> = Taken['length'] extends Count
  ? Taken
  : Words extends [infer First, ...infer Rest]
    ? Take<Rest, Count, [...Taken, First]>
    : never

same<ReturnType<typeof createImageUtils>, ImageUtils>(true)
same<Result<'imageToVolume'>, Promise<ImageToVolumeReport>>(true)
same<Result<'planImageToVolume'>, Promise<ImageToVolumePlan>>(true)
same<Result<'volumeToImage'>, Promise<VolumeToImageReport>>(true)
same<Result<'fixupDiskFormat'>, string>(true)
same<Result<'qemuImgInfo'>, Promise<QemuImgInfo>>(true)
same<Result<'getImageFormat'>, Promise<string | undefined>>(true)
same<Result<'getQemuImgVersion'>, Promise<number[] | undefined>>(true)
same<Result<'convertImage'>, Promise<void>>(true)
same<Result<'getQemuData'>, Promise<QemuImgInfo | undefined>>(true)
same<Result<'checkVirtualSize'>, number>(true)
same<Result<'isXenserverFormat'>, boolean>(true)
same<Result<'filterOutReservedNamespacesMetadata'>, Record<string, unknown>>(true)
same<Result<'fetchToRaw'>, Promise<void>>(true)
same<Result<'uploadVolume'>, Promise<void>>(true)
same<Result<'verifyGlanceImageSignature'>, Promise<boolean>>(true)
same<Result<'getVhdSize'>, Promise<number>>(true)
same<Result<'discoverVhdChain'>, Promise<string[]>>(true)
same<Result<'createTemporaryFile'>, Promise<string>>(true)
same<Result<'temporaryFile'>, Promise<TemporaryPath>>(true)
same<Result<'chownIfNeeded'>, Promise<AsyncDisposable>>(true)
same<Result<'fromQemuImgDiskFormat'>, string>(true)
same<Result<'checkQemuImgVersion'>, Promise<void>>(true)
same<Result<'resizeImage'>, Promise<void>>(true)
same<Result<'checkQcow2Image'>, void>(true)
same<Result<'checkVmdkImage'>, void>(true)
same<Result<'checkImageFormat'>, Promise<void>>(true)
same<Result<'checkImageConversionDisable'>, void>(true)
same<Result<'checkAvailableSpace'>, Promise<void>>(true)
same<Result<'decodeCipher'>, Cipher>(true)
same<Result<'fetch'>, Promise<DownloadReport>>(true)
same<Result<'fetchVerifyImage'>, Promise<DownloadReport>>(true)
same<Result<'fetchToVhd'>, Promise<void>>(true)
same<Result<'fetchToVolumeFormat'>, Promise<void>>(true)
same<Result<'validateStoresId'>, Promise<void>>(true)
same<Result<'setVhdParent'>, Promise<void>>(true)
same<Result<'coalesceVhd'>, Promise<void>>(true)
same<Result<'resizeVhd'>, Promise<void>>(true)
same<Result<'fixVhdChain'>, Promise<void>>(true)
same<Result<'coalesceChain'>, Promise<string>>(true)
same<Result<'extractTargz'>, Promise<void>>(true)
same<Result<'replaceXenserverImageWithCoalescedVhd'>, Promise<void>>(true)
same<Result<'temporaryDir'>, Promise<TemporaryPath>>(true)
same<Result<'cleanupTemporaryFile'>, Promise<void>>(true)
same<ImageUtils['imageService'], ImageService | undefined>(true)

/** Python's order of the parameters that are always given. */
same<Leading<'convertImage', 3>, [source: string, dest: string, outFormat: WritableDiskFormat]>(true)
same<Leading<'resizeImage', 2>, [source: string, size: number]>(true)
same<Leading<'checkVirtualSize', 3>, [virtualSize: number, volumeSize: number, imageId: string]>(true)
same<Leading<'checkAvailableSpace', 3>, [dest: string, imageSize: number, imageId: string]>(true)
same<Leading<'getQemuData', 5>, [string, boolean, boolean, string, boolean]>(true)
same<Leading<'fetchToRaw', 4>, [RequestContext, ImageService | undefined, string, string]>(true)
same<Leading<'fetchToVolumeFormat', 5>, [RequestContext, ImageService | undefined, string, string, string]>(
  true,
)
same<Leading<'uploadVolume', 4>, [RequestContext, ImageService | undefined, TargetImage, string]>(true)
same<Leading<'verifyGlanceImageSignature', 4>, [RequestContext, ImageService | undefined, string, string]>(
  true,
)

/** Never called: it only has to compile, and what is wrong must not. */
export async function uses(imageUtils: ImageUtils, volumeFd: FileHandle): Promise<void> {
  const imageService: ImageService = createDirectoryImageService({ directory: '/images' })
  createImageUtils({ imageService }, { imageConversionDir: '/conversion', sandbox: 'require' })
  const { TemporaryImages } = imageUtils
  const { signal } = new AbortController()
  await imageUtils.fetchToRaw({ userId: 'u' }, imageService, 'id', '/dev/volume', '1M', { size: 1, signal })
  await imageUtils.uploadVolume({}, undefined, { id: 'id', disk_format: 'qcow2' }, '/dev/volume', {
    volumeFd,
  })
  await using image = await TemporaryImages.fetch(imageService, {}, 'id', { suffix: 'host@lvm' })
  await imageUtils.convertImage(image.path, '/volume', 'luks', {
    cipherSpec: imageUtils.decodeCipher('aes-xts-plain64', 256),
    passphraseFile: '/key',
  })
  await imageUtils.imageToVolume({ imageId: 'id', volume: '/volume', onProgress: ({ stage }) => void stage })

  // @ts-expect-error an option that there is none of
  createImageUtils({}, { imageConversionDirectory: '/conversion' })
  createImageUtils({ glance: { endpoint: 'http://glance.example:9292' } }, { glanceNumRetries: 1 })
  await imageUtils.imageToVolume({ imageId: 'id', volume: '/v', volumeFormat: 'luks', keyDerivationMs: 100 })

  // @ts-expect-error retries are the facade's own option
  createImageUtils({ glance: { endpoint: 'http://glance.example:9292', retries: 1 } })
  // @ts-expect-error a mode that there is none of
  createImageUtils({}, { sandbox: 'always' })
  // @ts-expect-error the image is missing
  await imageUtils.imageToVolume({ volume: '/volume' })
  // @ts-expect-error a size is a number of GiB
  await imageUtils.resizeImage('/volume', '5G')
  // @ts-expect-error the context comes first
  await imageUtils.fetch(imageService, {}, 'id', '/file')
  // @ts-expect-error an image to upload to needs its id
  await imageUtils.uploadVolume({}, undefined, { disk_format: 'raw' }, '/volume')
  // @ts-expect-error Python's keywords are camelCase here
  await imageUtils.qemuImgInfo('/file', { run_as_root: true })
  // @ts-expect-error a cipher is decoded first
  await imageUtils.convertImage('/a', '/b', 'luks', { cipherSpec: 'aes-xts-plain64' })
}
