import {
  type CallOptions,
  fixupDiskFormat,
  fromQemuFormat,
  GiB,
  type ImageService,
  type RequestContext,
  type TemporaryPath,
} from '@disk-image/core'
import {
  checkImageFormat,
  checkQcow2Image,
  checkVirtualSize,
  checkVmdkImage,
  withoutReservedNamespaces,
} from '@disk-image/format-policy'
import { validateStoreId } from '@disk-image/glance-client'
import { chownIfNeeded, removeLeftovers } from '@disk-image/host'
import { checkQemuImgVersion, decodeCipher } from '@disk-image/qemu-img'
import {
  coalesceChain,
  coalesceVhd,
  discoverVhdChain,
  fixVhdChain,
  getVhdSize,
  isXenserverFormat,
  resizeVhd,
  setVhdParent,
} from '@disk-image/vhd'
import { createToolbox, type ImageUtilsDependencies } from './dependencies.ts'
import type { ImageUtils } from './image-utils.ts'
import { checkAvailableSpace } from './operations/available-space.ts'
import { checkImageFile } from './operations/check-image-file.ts'
import { convertImage } from './operations/convert-image.ts'
import { fetchImage, fetchVerifyImage } from './operations/fetch.ts'
import { fetchToVolumeFormat } from './operations/fetch-to-volume.ts'
import { getImageFormat, getQemuData, qemuImgInfo } from './operations/qemu-info.ts'
import { resizeImage } from './operations/resize-image.ts'
import { verifyGlanceImageSignature } from './operations/verify-signature.ts'
import { extractTargz, replaceXenserverImageWithCoalescedVhd } from './operations/xenserver.ts'
import { type ImageUtilsOptions, resolveOptions } from './options.ts'
import { imageToVolume } from './pipelines/image-to-volume.ts'
import { chooseImageService } from './pipelines/job.ts'
import { planImageToVolume } from './pipelines/plan.ts'
import { volumeToImage } from './pipelines/volume-to-image.ts'
import { observeFetch } from './telemetry/observe.ts'
import { withSpace } from './pipelines/with-space.ts'
import { TemporaryImagesByService } from './temporary-images.ts'

/**
 * Cinder's `image_utils` as one frozen object.
 *
 * @throws {InvalidError} for a bad option, with its name, its value and what would be right
 */
export function createImageUtils(
  dependencies: ImageUtilsDependencies = {},
  options: ImageUtilsOptions = {},
): ImageUtils {
  const resolved = resolveOptions(options)
  const temporaryImages = new TemporaryImagesByService(fetchTemporary)
  const toolbox = createToolbox(dependencies, resolved, temporaryImages)
  const { temporaryFiles, qemuImg, policy, telemetry } = toolbox

  async function fetchTemporary(
    imageService: ImageService,
    context: RequestContext,
    imageId: string,
    call: CallOptions & { readonly suffix: string },
  ): Promise<TemporaryPath> {
    const file = await temporaryFiles.file({ prefix: `image_fetch_${imageId}_`, suffix: call.suffix })
    // A file that stays is told to the log: it is no reason to fail for who is done with it.
    const dispose = async (): Promise<void> => {
      try {
        await file[Symbol.asyncDispose]()
      } catch (error) {
        toolbox.logger.warn('A temporary image could not be removed', { path: file.path, error })
      }
    }
    try {
      await observeFetch(telemetry, call, (heard) =>
        fetchVerifyImage(toolbox, context, imageService, imageId, file.path, { ...heard, temporary: true }),
      )
      return { path: file.path, [Symbol.asyncDispose]: dispose }
    } catch (error) {
      await dispose()
      throw error
    }
  }

  return Object.freeze<ImageUtils>({
    options: resolved,
    imageService: toolbox.imageService,

    imageToVolume: (request) => imageToVolume(toolbox, request),
    planImageToVolume: (request) => planImageToVolume(toolbox, request),
    volumeToImage: (request) => volumeToImage(toolbox, request),

    fixupDiskFormat,
    fromQemuImgDiskFormat: fromQemuFormat,
    qemuImgInfo: (path, keywords) => qemuImgInfo(toolbox, path, keywords),
    getImageFormat: (path, keywords) => getImageFormat(toolbox, path, keywords),
    getQemuImgVersion: async () => (await qemuImg.version())?.slice(),
    checkQemuImgVersion: async (minimumVersion) =>
      checkQemuImgVersion(await qemuImg.version(), minimumVersion),
    convertImage: (source, dest, outFormat, keywords) =>
      convertImage(toolbox, source, dest, outFormat, keywords),
    checkImageFile: (path, keywords) => checkImageFile(toolbox, path, keywords),
    resizeImage: (source, size, keywords) => resizeImage(toolbox, source, size * GiB, keywords),
    getQemuData: (imageId, hasMeta, diskFormatRaw, dest, runAsRoot, keywords) =>
      getQemuData(toolbox, imageId, hasMeta, diskFormatRaw, dest, runAsRoot, keywords),

    checkQcow2Image,
    checkVmdkImage: (imageId, data) =>
      checkVmdkImage(imageId, data, { allowedTypes: resolved.vmdkAllowedTypes }),
    checkImageFormat: async (source, keywords = {}) => {
      const { runAsRoot, signal, srcFormat, imageId } = keywords
      const data = keywords.data ?? (await qemuImgInfo(toolbox, source, { runAsRoot, signal }))
      checkImageFormat(imageId, srcFormat, data, { allowedTypes: resolved.vmdkAllowedTypes })
    },
    checkImageConversionDisable: (diskFormat, volumeFormat, imageId, keywords) =>
      policy.checkConversion(diskFormat, volumeFormat, imageId, keywords),
    checkVirtualSize,
    checkAvailableSpace,
    decodeCipher,
    isXenserverFormat,
    filterOutReservedNamespacesMetadata: (metadata) =>
      withoutReservedNamespaces(metadata, { reservedNamespaces: resolved.reservedImageNamespaces }),

    fetch: (context, imageService, imageId, path, keywords = {}) =>
      observeFetch(telemetry, keywords, (heard) =>
        fetchImage(toolbox, context, imageService, imageId, path, heard),
      ),
    fetchVerifyImage: (context, imageService, imageId, dest, keywords = {}) =>
      observeFetch(telemetry, keywords, (heard) =>
        fetchVerifyImage(toolbox, context, imageService, imageId, dest, heard),
      ),
    fetchToRaw: (context, imageService, imageId, dest, _blocksize, keywords) =>
      fetchToVolumeFormat(toolbox, context, imageService, imageId, dest, 'raw', keywords),
    fetchToVhd: (context, imageService, imageId, dest, _blocksize, keywords) =>
      fetchToVolumeFormat(toolbox, context, imageService, imageId, dest, 'vpc', keywords),
    fetchToVolumeFormat: (context, imageService, imageId, dest, volumeFormat, _blocksize, keywords) =>
      fetchToVolumeFormat(toolbox, context, imageService, imageId, dest, volumeFormat, keywords),
    uploadVolume: async (context, imageService, imageMeta, volumePath, keywords = {}) => {
      const { compress = true, runAsRoot = true, ...rest } = keywords
      const compression = compress ? undefined : 'none'
      const request = { ...rest, compression, runAsRoot, context, imageService } as const
      await volumeToImage(toolbox, { ...request, image: imageMeta, volume: volumePath })
    },
    validateStoresId: (context, imageServiceStoreId, keywords = {}) =>
      validateStoreId(
        context,
        chooseImageService(toolbox, keywords.imageService),
        imageServiceStoreId,
        keywords,
      ),
    verifyGlanceImageSignature: (context, imageService, imageId, path, keywords) =>
      verifyGlanceImageSignature(toolbox, context, imageService, imageId, path, keywords),

    setVhdParent: (vhdPath, parentPath) => setVhdParent(vhdPath, parentPath),
    coalesceVhd: async (vhdPath, keywords) => {
      await withSpace({ path: vhdPath }, () => coalesceVhd(vhdPath, keywords))
    },
    getVhdSize: (vhdPath) => getVhdSize(vhdPath),
    resizeVhd: async (vhdPath, size, _journal, keywords) => {
      await withSpace({ path: vhdPath }, () => resizeVhd(vhdPath, size, keywords))
    },
    discoverVhdChain: (directory) => discoverVhdChain(directory),
    fixVhdChain: (vhdChain) => fixVhdChain(vhdChain),
    coalesceChain: (vhdChain, keywords) =>
      withSpace({ path: vhdChain.at(-1) ?? '' }, () => coalesceChain(vhdChain, keywords)),
    extractTargz,
    replaceXenserverImageWithCoalescedVhd: (imageFile, keywords) =>
      replaceXenserverImageWithCoalescedVhd(toolbox, imageFile, keywords),

    createTemporaryFile: (keywords) => temporaryFiles.createFile(keywords),
    temporaryFile: (keywords) => temporaryFiles.file(keywords),
    temporaryDir: (keywords) => temporaryFiles.temporaryDirectory(keywords),
    cleanupTemporaryFile: (backendName) => temporaryFiles.cleanup(backendName),
    cleanTemporaryFiles: () => removeLeftovers({ directory: temporaryFiles.directory }),
    chownIfNeeded: (volumePath, keywords) =>
      chownIfNeeded(volumePath, { runner: toolbox.runner, ...keywords }),
    TemporaryImages: Object.freeze<ImageUtils['TemporaryImages']>({
      fetch: (imageService, context, imageId, keywords) =>
        temporaryImages.forImageService(imageService).fetch(imageService, context, imageId, keywords),
      forImageService: (imageService) => temporaryImages.forImageService(imageService),
    }),
  })
}
