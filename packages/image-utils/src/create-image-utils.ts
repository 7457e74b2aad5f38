import { removeLeftovers } from '@disk-image/host'
import { cinderImageUtilsOf, openServices } from './cinder/create-cinder-image-utils.ts'
import { convertImage } from './convert/convert-image.ts'
import { volumesToArchive } from './convert/volumes-to-archive.ts'
import { archiveToVolumes, imageToVolume } from './image-to-volume/image-to-volume.ts'
import { inspectInside } from './image-to-volume/inspect-inside.ts'
import { planArchiveToVolumes, planImageToVolume } from './image-to-volume/plan.ts'
import type { ImageUtils } from './image-utils.ts'
import type { ImageUtilsOptions } from './services/options.ts'
import type { ImageUtilsDependencies } from './services/services.ts'
import { openSource } from './sources/open-source.ts'
import { checkImageFile } from './volume-to-image/judge-upload.ts'
import { sourceToImage } from './volume-to-image/source-to-image.ts'
import { verifyVolume, verifyVolumeChecksums } from './verify/verify-volume.ts'
import { streamToImage } from './volume-to-image/stream-to-image.ts'
import { volumeToImage } from './volume-to-image/volume-to-image.ts'

/**
 * Makes the facade, one frozen object. Starts nothing.
 *
 * @throws {InvalidError} for a bad option, with its name, its value and what would be right
 */
export function createImageUtils(
  dependencies: ImageUtilsDependencies = {},
  options: ImageUtilsOptions = {},
): ImageUtils {
  const services = openServices(dependencies, options)
  return Object.freeze<ImageUtils>({
    ...cinderImageUtilsOf(services),
    options: services.options,
    imageService: services.imageService,
    convertImage: (source, destination, format, keywords) =>
      convertImage(services, source, destination, format, keywords),
    imageToVolume: (request) => imageToVolume(services, request),
    archiveToVolumes: (request) => archiveToVolumes(services, request),
    planImageToVolume: (request) => planImageToVolume(services, request),
    planArchiveToVolumes: (request) => planArchiveToVolumes(services, request),
    openSource: (word, keywords) => openSource(services, word, keywords),
    volumesToArchive: (request) => volumesToArchive(services, request),
    inspectInside: (source) => inspectInside(services, source),
    volumeToImage: (request) => volumeToImage(services, request),
    sourceToImage: (request) => sourceToImage(services, request),
    verifyVolume: (request) => verifyVolume(services, request),
    verifyVolumeChecksums: (request) => verifyVolumeChecksums(services, request),
    streamToImage: (request) => streamToImage(services, request),
    checkImageFile: (path, keywords) => checkImageFile(services, path, keywords),
    cleanTemporaryFiles: () => removeLeftovers({ directory: services.temporaryFiles.directory }),
  })
}
