export type { GlanceImage } from './api/answers.ts'
export type { GlanceClientOptions } from './client/client-options.ts'
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
} from './client/client-types.ts'
export { createGlanceClient } from './client/create-glance-client.ts'
export type { GlanceDownloadOptions } from './data/download.ts'
export type { GlanceUploadOptions } from './data/upload-state.ts'
export type { UploadReport } from './data/upload.ts'
export {
  AuthenticationFailedError,
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
export type { FailedUploadState } from './errors.ts'
export { createGlanceImageService } from './service/glance-image-service.ts'
export type { GlanceImageService, GlanceImageServiceOptions } from './service/glance-image-service.ts'
export { getApiServers, getRemoteImageService } from './service/image-reference.ts'
export type { ApiServer, ApiServersOptions } from './service/image-reference.ts'
export { validateStoreId } from './service/image-locations.ts'
export type { AuthOptions } from './session/auth-options.ts'
export { createSession } from './session/create-session.ts'
export type { SessionOptions } from './session/create-session.ts'
export { loadCloud } from './session/load-cloud.ts'
export type { CloudSettings, LoadCloudOptions } from './session/load-cloud.ts'
export { loadSession } from './session/load-session.ts'
export type { LoadedSession, LoadSessionOptions } from './session/load-session.ts'
export { loadTls } from './session/load-tls.ts'
export type { LoadTlsOptions } from './session/load-tls.ts'
export type { Authorization, Session } from './session/session.ts'
export { ConfigurationError, proxyFromEnvironment } from '@disk-image/http'
export type { ProxyOptions, Timeouts, TlsOptions } from '@disk-image/http'
