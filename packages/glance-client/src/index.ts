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
export type { GlanceDownloadOptions } from './data/download-state.ts'
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
export { InvalidImageReferenceError } from './errors/invalid-image-reference-error.ts'
export { NotAuthorizedError } from './errors/not-authorized-error.ts'
export { NotFoundError } from './errors/not-found-error.ts'
export type { GlanceImage } from './glance-image.ts'
export { createGlanceImageService } from './service/glance-image-service.ts'
export type { GlanceImageService } from './service/glance-image-service.ts'
export type { GlanceImageServiceOptions } from './service/image-service-options.ts'
export { getApiServers } from './service/api-servers.ts'
export type { ApiServer, ApiServersOptions } from './service/api-servers.ts'
export { getRemoteImageService, parseImageReference } from './service/image-reference.ts'
export type { ImageReference } from './service/image-reference.ts'
export { validateStoreId } from './service/validate-store-id.ts'
export { isImageAvailable } from './service/is-image-available.ts'
export type { ImageVisibility } from './service/is-image-available.ts'
export { translateFromGlance } from './service/translate-from-glance.ts'
export type { ImageSchema } from './service/translate-from-glance.ts'
export { translateToGlance } from './service/translate-to-glance.ts'
export { authTypes } from './session/auth-options.ts'
export type { AuthOptions, AuthType } from './session/auth-options.ts'
export { createSession } from './session/create-session.ts'
export type { SessionOptions } from './session/create-session.ts'
export { loadCloud } from './session/load-cloud.ts'
export type { CloudSettings, LoadCloudOptions } from './session/load-cloud.ts'
export { loadSession } from './session/load-session.ts'
export type { LoadedSession, LoadSessionOptions } from './session/load-session.ts'
export type { Authorization, Session } from './session/session.ts'
export type { Timeouts } from './transport/timeouts.ts'
export type { TlsOptions } from './transport/tls-options.ts'
