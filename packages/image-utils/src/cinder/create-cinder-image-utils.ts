import {
  type DiskFormat,
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
import { chownIfNeeded } from '@disk-image/host'
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
import { convertImage } from '../convert/convert-image.ts'
import { resizeImage } from '../convert/resize-image.ts'
import { checkAvailableSpace, withSpace } from '../judge/space.ts'
import { verifyGlanceImageSignature } from '../judge/verify-signature.ts'
import { type ImageUtilsOptions, resolveOptions } from '../services/options.ts'
import {
  chooseImageService,
  createServices,
  type ImageUtilsDependencies,
  type Services,
} from '../services/services.ts'
import { TemporaryImagesByService } from '../services/temporary-images.ts'
import { observeFetch } from '../telemetry/telemetry.ts'
import { volumeToImage } from '../volume-to-image/volume-to-image.ts'
import type { CinderImageUtils } from './cinder-image-utils.ts'
import { fetchImage, fetchToVolumeFormat, fetchVerifyImage } from './fetch.ts'
import { getImageFormat, getQemuData, qemuImgInfo } from './qemu-info.ts'
import { extractTargz, replaceXenserverImageWithCoalescedVhd } from './xenserver.ts'

/**
 * Cinder's `image_utils` as one frozen object, without the verbs of our own.
 *
 * @throws {InvalidError} for a bad option, with its name, its value and what would be right
 */
export function createCinderImageUtils(
  dependencies: ImageUtilsDependencies = {},
  options: ImageUtilsOptions = {},
): CinderImageUtils {
  return Object.freeze(cinderImageUtilsOf(openServices(dependencies, options)))
}

/** What every operation works with. */
export function openServices(dependencies: ImageUtilsDependencies, options: ImageUtilsOptions): Services {
  const services = createServices(
    dependencies,
    resolveOptions(options),
    new TemporaryImagesByService(fetchTemporary),
  )
  const { temporaryFiles } = services

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
        services.logger.warn('A temporary image could not be removed', { path: file.path, error })
      }
    }
    try {
      await observeFetch(services, call, (observed) =>
        fetchVerifyImage(services, context, imageService, imageId, file.path, {
          ...observed,
          temporary: true,
        }),
      )
      return { path: file.path, [Symbol.asyncDispose]: dispose }
    } catch (error) {
      await dispose()
      throw error
    }
  }

  return services
}

/** The functions, over services that are there. */
export function cinderImageUtilsOf(services: Services): CinderImageUtils {
  const { options: resolved, temporaryFiles, temporaryImages, qemuImg, policy } = services
  return {
    fixupDiskFormat,
    fromQemuImgDiskFormat: fromQemuFormat,
    qemuImgInfo: (path, keywords) => qemuImgInfo(services, path, keywords),
    getImageFormat: (path, keywords) => getImageFormat(services, path, keywords),
    getQemuImgVersion: async () => (await qemuImg.version())?.slice(),
    checkQemuImgVersion: async (minimumVersion) =>
      checkQemuImgVersion(await qemuImg.version(), minimumVersion),
    convertImage: (source, dest, outFormat, keywords) =>
      convertImage(services, source, dest, outFormat, keywords, true),
    resizeImage: (source, size, keywords) => resizeImage(services, source, size * GiB, keywords),
    getQemuData: (imageId, hasMeta, diskFormatRaw, dest, runAsRoot, keywords) =>
      getQemuData(services, imageId, hasMeta, diskFormatRaw, dest, runAsRoot, keywords),

    checkQcow2Image,
    checkVmdkImage: (imageId, data) =>
      checkVmdkImage(imageId, data, { allowedTypes: resolved.vmdkAllowedTypes }),
    checkImageFormat: async (source, keywords = {}) => {
      const { runAsRoot, signal, srcFormat, imageId } = keywords
      const data = keywords.data ?? (await qemuImgInfo(services, source, { runAsRoot, signal }))
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
      observeFetch(services, keywords, (observed) =>
        fetchImage(services, context, imageService, imageId, path, observed),
      ),
    fetchVerifyImage: (context, imageService, imageId, dest, keywords = {}) =>
      observeFetch(services, keywords, (observed) =>
        fetchVerifyImage(services, context, imageService, imageId, dest, observed),
      ),
    fetchToRaw: (context, imageService, imageId, dest, _blocksize, keywords) =>
      fetchToVolumeFormat(services, context, imageService, imageId, dest, 'raw', keywords),
    fetchToVhd: (context, imageService, imageId, dest, _blocksize, keywords) =>
      fetchToVolumeFormat(services, context, imageService, imageId, dest, 'vpc', keywords),
    fetchToVolumeFormat: (context, imageService, imageId, dest, volumeFormat, _blocksize, keywords) =>
      fetchToVolumeFormat(services, context, imageService, imageId, dest, volumeFormat, keywords),
    uploadVolume: async (context, imageService, imageMeta, volumePath, keywords = {}) => {
      const { compress = true, runAsRoot = true, volumeFormat, ...rest } = keywords
      const compression = compress ? undefined : 'none'
      const request = { ...rest, compression, runAsRoot, context, imageService } as const
      // Of a name that isn't known the rules say so.
      const known = { volumeFormat: volumeFormat as DiskFormat | undefined }
      await volumeToImage(services, { ...request, ...known, image: imageMeta, volume: volumePath })
    },
    validateStoresId: (context, imageServiceStoreId, keywords = {}) =>
      validateStoreId(
        context,
        chooseImageService(services, keywords.imageService),
        imageServiceStoreId,
        keywords,
      ),
    verifyGlanceImageSignature: (context, imageService, imageId, path, keywords) =>
      verifyGlanceImageSignature(services, context, imageService, imageId, path, keywords),

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
      replaceXenserverImageWithCoalescedVhd(services, imageFile, keywords),

    createTemporaryFile: (keywords) => temporaryFiles.createFile(keywords),
    temporaryFile: (keywords) => temporaryFiles.file(keywords),
    temporaryDir: (keywords) => temporaryFiles.temporaryDirectory(keywords),
    cleanupTemporaryFile: (backendName) => temporaryFiles.cleanup(backendName),
    chownIfNeeded: (volumePath, keywords) =>
      chownIfNeeded(volumePath, { runner: services.runner, ...keywords }),
    TemporaryImages: Object.freeze<CinderImageUtils['TemporaryImages']>({
      fetch: (imageService, context, imageId, keywords) =>
        temporaryImages.forImageService(imageService).fetch(imageService, context, imageId, keywords),
      forImageService: (imageService) => temporaryImages.forImageService(imageService),
    }),
  }
}
