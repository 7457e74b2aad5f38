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
export {
  AuthenticationFailedError,
  ConfigurationError,
  GlanceAnswerError,
  GlanceConnectionFailedError,
  GlanceHttpError,
  GlanceStoreNotFoundError,
  GlanceStoreReadOnlyError,
  IdentityUnreachableError,
  ImageImportFailedError,
  ImageLimitExceededError,
  ImageUploadFailedError,
  InvalidImageReferenceError,
  NotAuthorizedError,
  NotFoundError,
} from './errors.ts'
export type { FailedUploadState, GlanceHttpErrorInit, ImageUploadFailedErrorInit } from './errors.ts'
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
export { loadTls } from './session/load-tls.ts'
export type { LoadTlsOptions } from './session/load-tls.ts'
export type { Authorization, Session } from './session/session.ts'
export type { Timeouts } from './transport/timeouts.ts'
export { proxyFromEnvironment } from './transport/proxy.ts'
export type { ProxyOptions } from './transport/proxy.ts'
export type { TlsOptions } from './transport/tls-options.ts'
