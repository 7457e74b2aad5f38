import type { FileHandle } from 'node:fs/promises'
import {
  createDirectoryImageService,
  createImageUtils,
  type ImageService,
  type ImageToVolumePlan,
  type ImageToVolumeReport,
  type ImageUtils,
  type QemuImgInfo,
  type TemporaryPath,
  type VolumeToImageReport,
} from '../../src/index.ts'

/** Compiles where each type goes where the other does, and neither is `any`. */
type Same<Left, Right> = 0 extends 1 & Left ? never : [Left, Right] extends [Right, Left] ? true : never
function same<Left, Right>(..._proof: [Same<Left, Right>]): void {}
type Result<Name extends keyof ImageUtils> = ImageUtils[Name] extends (...words: never[]) => infer Returned
  ? Returned
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
