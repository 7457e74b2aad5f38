/** A Glance and the way to sign in to it, as `@disk-image/glance-client` has them. */
export {
  createGlanceClient,
  createGlanceImageService,
  loadSession,
  loadTls,
  proxyFromEnvironment,
} from '@disk-image/glance-client'
export type {
  GlanceClient,
  GlanceClientOptions,
  ImportProgress,
  ImportRequest,
} from '@disk-image/glance-client'
