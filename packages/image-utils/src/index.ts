export {
  ImageDownloadFailedError,
  ImageError,
  ImageNotAuthorizedError,
  ImageNotFoundError,
  ImageTooBigError,
  ImageUnacceptableError,
  InvalidError,
  NotSupportedOperationError,
  ProcessExecutionError,
} from '@disk-image/core'
export type {
  ByteSink,
  CallOptions,
  CertificateSource,
  Clock,
  DownloadOptions,
  DownloadReport,
  ImageErrorKind,
  ImageMetadata,
  ImageRecord,
  ImageService,
  Logger,
  ProcessRunner,
  Progress,
  ProgressListener,
  QemuImgInfo,
  Refusal,
  RequestContext,
  TemporaryPath,
  UploadOptions,
  UploadSource,
  VerifyPolicy,
} from '@disk-image/core'
export { ImageConversionNotAllowedError } from '@disk-image/format-policy'
export {
  createGlanceImageService,
  GlanceConnectionFailedError,
  GlanceStoreNotFoundError,
  GlanceStoreReadOnlyError,
  ImageLimitExceededError,
} from '@disk-image/glance-client'
export {
  ImageSignatureVerificationError,
  InvalidSignatureImageError,
} from '@disk-image/glance-client/signature'
export { VolumeAccessError } from '@disk-image/host'
export { InvalidVolumeTypeError, VolumeBackendError } from '@disk-image/qemu-img'
export type { Cipher } from '@disk-image/qemu-img'
export { VhdError, XenserverArchiveError } from '@disk-image/vhd'
export { createImageUtils } from './create-image-utils.ts'
export type { ImageUtilsDependencies, Throttle } from './dependencies.ts'
export { createDirectoryImageService } from './directory/directory-image-service.ts'
export type { DirectoryImageServiceOptions } from './directory/directory-image-service.ts'
export type { GlanceSettings } from './glance-settings.ts'
export type { CheckImageFormatOptions, ImageUtils, UploadVolumeOptions } from './image-utils.ts'
export type { ConvertImageOptions } from './operations/convert-image.ts'
export type { FetchOptions } from './operations/fetch.ts'
export type { BlockSize, FetchToVolumeOptions } from './operations/fetch-to-volume.ts'
export type { QemuDataOptions, QemuImgInfoOptions } from './operations/qemu-info.ts'
export type { ResizeImageOptions } from './operations/resize-image.ts'
export type { FormatRules, ImageUtilsOptions, ResolvedOptions, SandboxMode } from './options.ts'
export type { ImageToVolumePlan } from './pipelines/plan.ts'
export type { ImageToVolumeReport, ImageToVolumeRequest } from './pipelines/request.ts'
export type { TargetImage, VolumeToImageReport, VolumeToImageRequest } from './pipelines/volume-to-image.ts'
export type { Operation, OperationFacts, OperationName, Telemetry } from './telemetry/telemetry.ts'
export type { TemporaryImageOptions, TemporaryImages } from './temporary-images.ts'
