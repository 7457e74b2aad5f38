export {
  checkImageFormats,
  fixupDiskFormat,
  formatNames,
  fromQemuFormat,
  glanceFormats,
  isSameFormat,
  parseDiskFormat,
  toGlanceFormat,
  toQemuFormat,
} from './disk-format.ts'
export type { DiskFormat, FormatUse, ImageFormats, WritableDiskFormat } from './disk-format.ts'
export { checkImageId, recordProblem } from './image-record.ts'
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
} from './errors.ts'
export type {
  ImageDownloadFailedErrorInit,
  ImageErrorInit,
  ImageErrorKind,
  ImageTooBigErrorInit,
  ImageUnacceptableErrorInit,
  InvalidErrorInit,
  ProcessEndReason,
  ProcessExecutionErrorInit,
  Refusal,
  Verdict,
} from './errors.ts'
export { httpStatusOf } from './http-status.ts'
export type { ImageLocation, ImageMetadata, ImagePropertyValue, ImageRecord } from './image-record.ts'
export type {
  ByteSink,
  CertificateSource,
  Checksum,
  DetailOptions,
  DownloadHash,
  DownloadOptions,
  DownloadReport,
  ImageMember,
  ImageService,
  ImageStore,
  OverlappedSink,
  ResumePoint,
  UpdateOptions,
  UploadOptions,
  UploadSource,
  VerifyPolicy,
} from './ports/image-service.ts'
export type {
  Clock,
  Command,
  ProcessFileAccess,
  ProcessLimits,
  ProcessResult,
  ProcessRunner,
  RunOptions,
  TemporaryFileOptions,
  TemporaryFiles,
  TemporaryPath,
} from './ports/host.ts'
export type { Disk, DiskReceiver, Extent, RandomAccessReader } from './ports/disk.ts'
export type { EncodedImage } from './ports/encoded-image.ts'
export type { Envelope } from './ports/envelope.ts'
export type { Layout } from './ports/layout.ts'
export { adaptLogger, silentLogger } from './ports/logger.ts'
export type { Logger } from './ports/logger.ts'
export type { Source } from './ports/source.ts'
export type { Target } from './ports/target.ts'
export type { WriteRight } from './ports/write-right.ts'
export { printable, printableAscii, printableJson, printableLines, redact } from './printable.ts'
export type { CallOptions, Progress, ProgressListener, ProgressStage, RequestContext } from './progress.ts'
export type { ImageSnapshot, QemuImgInfo } from './qemu-img-info.ts'
export { formatBytes, GiB, KiB, MiB } from './units.ts'
export { jsonDepth } from './json-depth.ts'
