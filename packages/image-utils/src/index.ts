export {
  httpStatusOf,
  ImageDownloadFailedError,
  ImageError,
  ImageNotAuthorizedError,
  ImageNotFoundError,
  ImageTooBigError,
  ImageUnacceptableError,
  InvalidError,
  NotSupportedOperationError,
  parseDiskFormat,
  ProcessExecutionError,
} from '@disk-image/core'
export type {
  ByteSink,
  CallOptions,
  CertificateSource,
  Clock,
  DiskFormat,
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
  WritableDiskFormat,
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
export { machineOfProperties } from '@disk-image/disk'
export type { OvaController, OvaMachine } from '@disk-image/disk'
export { InvalidVolumeTypeError, VolumeBackendError } from '@disk-image/qemu-img'
export type { Cipher } from '@disk-image/qemu-img'
export { VhdError, XenserverArchiveError } from '@disk-image/vhd'
export { createImageUtils } from './create-image-utils.ts'
export type { FormatOptions } from './write/encode.ts'
export type { GlanceSettings, ImageUtilsDependencies, NetworkOptions, Throttle } from './services/services.ts'
export type {
  BlockSize,
  CheckImageFormatOptions,
  CinderImageUtils,
  ConvertImageOptions,
  FetchOptions,
  FetchToVolumeOptions,
  QemuDataOptions,
  QemuImgInfoOptions,
  ResizeImageOptions,
  UploadVolumeOptions,
} from './cinder/index.ts'
export type { VolumesToArchiveReport, VolumesToArchiveRequest } from './convert/volumes-to-archive.ts'
export { createDirectoryImageService } from './directory/directory-image-service.ts'
export type { DirectoryImageServiceOptions } from './directory/directory-image-service.ts'
export type { ImageUtils } from './image-utils.ts'
export type { FormatRules, ImageUtilsOptions, ResolvedOptions, SandboxMode } from './services/options.ts'
export type { ImageToVolumePlan } from './image-to-volume/plan.ts'
export type {
  ArchiveToVolumesRequest,
  ImageToVolumeOptions,
  ImageToVolumeReport,
  ImageToVolumeRequest,
  RequestedImage,
} from './image-to-volume/request.ts'
export { imagePropertiesOf, readMachine } from './ovf/image-properties.ts'
export type { InsideInspector, InsideReport } from './image-to-volume/inspect-inside.ts'
export type { Unwrapped } from './image-to-volume/unwrap.ts'
export { AmbiguousImageNameError } from './errors.ts'
export type { ImageCandidate } from './errors.ts'
export type { OpenedSource, OpenSourceOptions } from './sources/open-source.ts'
export { nameOfWord, readWord } from './sources/read-word.ts'
export type { RemoteScheme, Word } from './sources/read-word.ts'
export type { SourceCacheOptions } from './sources/source-cache.ts'
export { fileSource } from './sources/sources.ts'
export type { DescribedSource } from './sources/sources.ts'
export type {
  FoundFormat,
  FoundImage,
  SourceToImageReport,
  SourceToImageRequest,
} from './volume-to-image/source-to-image.ts'
export type {
  VerifyVolumeChecksumsReport,
  VerifyVolumeChecksumsRequest,
  VerifyVolumeReport,
  VerifyVolumeRequest,
} from './verify/verify-volume.ts'
export type { StreamToImageRequest } from './volume-to-image/stream-to-image.ts'
export type {
  TargetImage,
  VolumeToImageReport,
  VolumeToImageRequest,
} from './volume-to-image/volume-to-image.ts'
export type { Operation, OperationFacts, OperationName, Telemetry } from './telemetry/telemetry.ts'
export type { TemporaryImageOptions, TemporaryImages } from './services/temporary-images.ts'
