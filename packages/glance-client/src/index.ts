export { normalizeEndpoint } from './client-options.ts'
export type { GlanceClientOptions } from './client-options.ts'
export type {
  ApiVersion,
  GlanceCallOptions,
  GlanceClient,
  ImagePatch,
  ImageTask,
  ImportProgress,
  ImportRequest,
  ListImagesOptions,
  WaitForImportOptions,
} from './client-types.ts'
export { createGlanceClient } from './create-glance-client.ts'
export type { GlanceDownloadOptions } from './data/download.ts'
export type { GlanceUploadOptions, UploadReport } from './data/upload.ts'
export { AuthenticationFailedError } from './errors/authentication-failed-error.ts'
export { GlanceConnectionFailedError } from './errors/glance-connection-failed-error.ts'
export { GlanceHttpError } from './errors/glance-http-error.ts'
export type { GlanceHttpErrorInit } from './errors/glance-http-error.ts'
export { GlanceStoreNotFoundError } from './errors/glance-store-not-found-error.ts'
export { GlanceStoreReadOnlyError } from './errors/glance-store-read-only-error.ts'
export { ImageImportFailedError } from './errors/image-import-failed-error.ts'
export { ImageLimitExceededError } from './errors/image-limit-exceeded-error.ts'
export { ImageUploadFailedError } from './errors/image-upload-failed-error.ts'
export type { FailedUploadState, ImageUploadFailedErrorInit } from './errors/image-upload-failed-error.ts'
export type { GlanceImage } from './glance-image.ts'
export type { Authorization, Session } from './session/session.ts'
export type { Timeouts } from './transport/timeouts.ts'
export type { TlsOptions } from './transport/tls-options.ts'
