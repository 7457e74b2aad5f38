export {
  fixupDiskFormat,
  formatNames,
  fromQemuFormat,
  isSameFormat,
  shownFormatNames,
  toGlanceFormat,
  toQemuFormat,
} from './disk-format.ts'
export type { FormatUse } from './disk-format.ts'
export { checkImageFormats, glanceFormats } from './image-formats.ts'
export type { ImageFormats } from './image-formats.ts'
export { checkImageId } from './image-id.ts'
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
} from './errors.ts'
export type { ImageLocation, ImageMetadata, ImagePropertyValue, ImageRecord } from './image-record.ts'
export type { CertificateSource } from './ports/certificates.ts'
export type { Clock } from './ports/clock.ts'
export type { Disk, DiskReceiver, Extent } from './ports/disk.ts'
export type { EncodedImage } from './ports/encoded-image.ts'
export type { Envelope } from './ports/envelope.ts'
export type {
  ByteSink,
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
export type { Layout } from './ports/layout.ts'
export { adaptLogger, silentLogger } from './ports/logger.ts'
export type { Logger } from './ports/logger.ts'
export type {
  Command,
  ProcessFileAccess,
  ProcessLimits,
  ProcessResult,
  ProcessRunner,
  RunOptions,
} from './ports/process-runner.ts'
export type { RandomAccessReader } from './ports/random-access-reader.ts'
export type { Source } from './ports/source.ts'
export type { Target } from './ports/target.ts'
export type { TemporaryFileOptions, TemporaryFiles, TemporaryPath } from './ports/temporary-files.ts'
export { printable, printableAscii, printableJson, printableLines } from './printable.ts'
export type { CallOptions, Progress, ProgressListener, ProgressStage } from './progress.ts'
export type { ImageSnapshot, QemuImgInfo } from './qemu-img-info.ts'
export { recordProblem } from './record-problem.ts'
export { redact } from './redact.ts'
export type { Refusal, Verdict } from './refusal.ts'
export type { RequestContext } from './request-context.ts'
export { formatBytes, GiB, KiB, MiB } from './units.ts'
export { jsonDepth } from './json-depth.ts'
