import {
  GlanceClient,
  GlanceClientOptions,
  ImportProgress,
  ImportRequest,
  createGlanceClient,
  createGlanceImageService,
  loadSession,
  loadTls,
  proxyFromEnvironment,
} from "@disk-image/glance-client";

export {
  type GlanceClient,
  type GlanceClientOptions,
  type ImportProgress,
  type ImportRequest,
  createGlanceClient,
  createGlanceImageService,
  loadSession,
  loadTls,
  proxyFromEnvironment,
};
