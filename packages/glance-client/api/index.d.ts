import {
  ByteSink,
  CallOptions,
  DownloadOptions,
  DownloadReport,
  ImageError,
  ImageLocation,
  ImageMember,
  ImageService,
  ImageStore,
  InvalidError,
  Logger,
  RequestContext,
  UploadSource,
  VerifyPolicy,
} from "@disk-image/core";

import {
  ConfigurationError,
  HttpConnectionFailedError,
  HttpStatusError,
  ProxyOptions,
  ProxyOptions as ProxyOptions$1,
  Timeouts,
  Timeouts as Timeouts$1,
  TlsOptions,
  TlsOptions as TlsOptions$1,
  proxyFromEnvironment,
} from "@disk-image/http";

interface ApiServer {
  readonly netloc: string;
  readonly useSsl: boolean;
}

interface ApiServersOptions {
  readonly glanceApiServers?: readonly string[] | null | undefined;
  readonly glanceCatalogInfo?: string | undefined;
  readonly regionName?: string | undefined;
  readonly serviceCatalog?: readonly {
    readonly type?: string | undefined;
    readonly endpoints?: readonly Readonly<Record<string, string>>[] | undefined;
  }[] | undefined;
}

interface ApiVersion {
  readonly id: string;
  readonly status: string;
}

interface AuthOptions {
  readonly authUrl?: string | undefined;
  readonly username?: string | undefined;
  readonly userId?: string | undefined;
  readonly userDomainId?: string | undefined;
  readonly userDomainName?: string | undefined;
  readonly password?: string | undefined;
  readonly passcode?: string | undefined;
  readonly token?: string | undefined;
  readonly projectId?: string | undefined;
  readonly projectName?: string | undefined;
  readonly projectDomainId?: string | undefined;
  readonly projectDomainName?: string | undefined;
  readonly domainId?: string | undefined;
  readonly domainName?: string | undefined;
  readonly defaultDomainId?: string | undefined;
  readonly defaultDomainName?: string | undefined;
  readonly trustId?: string | undefined;
  readonly systemScope?: string | undefined;
  readonly unscoped?: boolean | undefined;
  readonly applicationCredentialId?: string | undefined;
  readonly applicationCredentialName?: string | undefined;
  readonly applicationCredentialSecret?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly authMethods?: readonly string[] | undefined;
  readonly identityProvider?: string | undefined;
  readonly protocol?: string | undefined;
  readonly clientId?: string | undefined;
  readonly clientSecret?: string | undefined;
  readonly openidScope?: string | undefined;
  readonly discoveryEndpoint?: string | undefined;
  readonly accessTokenEndpoint?: string | undefined;
  readonly accessTokenType?: string | undefined;
  readonly accessToken?: string | undefined;
}

export declare class AuthenticationFailedError extends ImageError {
  readonly code = "AUTHENTICATION_FAILED";
  readonly kind = "not-authorized";
  readonly reason: string;
  constructor(init: {
    readonly reason: string;
    readonly cause?: unknown;
  });
}

interface Authorization {
  readonly headers: Readonly<Record<string, string>>;
}

interface CloudSettings {
  readonly name: string;
  readonly origin: string;
  readonly settings: Mapping;
}

type Environment = Readonly<Record<string, string | undefined>>;

type FailedUploadState = "queued" | "deleted" | "wrong" | "unknown";

export declare class GlanceAnswerError extends ImageError {
  readonly code = "GLANCE_ANSWER";
  readonly kind = "failed";
  readonly url: string;
  readonly reason: string;
  constructor(init: {
    readonly url: string;
    readonly reason: string;
    readonly cause?: unknown;
  });
}

interface GlanceCallOptions extends CallOptions {
  readonly context?: RequestContext | undefined;
}

interface GlanceClient extends AsyncDisposable {
  versions(options?: GlanceCallOptions): Promise<readonly ApiVersion[]>;
  schema(name: "image" | "images" | "member" | "members", options?: GlanceCallOptions): Promise<Readonly<Record<string, unknown>>>;
  list(options?: ListImagesOptions): AsyncIterable<GlanceImage>;
  show(imageId: string, options?: GlanceCallOptions): Promise<GlanceImage>;
  create(fields: Readonly<Record<string, unknown>>, options?: GlanceCallOptions): Promise<GlanceImage>;
  patch(imageId: string, patches: readonly ImagePatch[], options?: GlanceCallOptions): Promise<GlanceImage>;
  update(imageId: string, fields: Readonly<Record<string, unknown>>, options?: GlanceCallOptions & {
    readonly remove?: readonly string[] | undefined;
    readonly present?: GlanceImage | undefined;
  }): Promise<GlanceImage>;
  delete(imageId: string, options?: GlanceCallOptions): Promise<void>;
  deactivate(imageId: string, options?: GlanceCallOptions): Promise<void>;
  reactivate(imageId: string, options?: GlanceCallOptions): Promise<void>;
  addTag(imageId: string, tag: string, options?: GlanceCallOptions): Promise<void>;
  removeTag(imageId: string, tag: string, options?: GlanceCallOptions): Promise<void>;
  listMembers(imageId: string, options?: GlanceCallOptions): Promise<ImageMember[]>;
  addMember(imageId: string, memberId: string, options?: GlanceCallOptions): Promise<ImageMember>;
  updateMember(imageId: string, memberId: string, status: "pending" | "accepted" | "rejected", options?: GlanceCallOptions): Promise<ImageMember>;
  removeMember(imageId: string, memberId: string, options?: GlanceCallOptions): Promise<void>;
  getStores(options?: GlanceCallOptions & {
    readonly detail?: boolean | undefined;
  }): Promise<{
    readonly stores: readonly ImageStore[];
  }>;
  deleteFromStore(imageId: string, storeId: string, options?: GlanceCallOptions): Promise<void>;
  importInfo(options?: GlanceCallOptions): Promise<Readonly<Record<string, unknown>>>;
  usage(options?: GlanceCallOptions): Promise<Readonly<Record<string, unknown>>>;
  stage(imageId: string, source: UploadSource, options?: GlanceUploadOptions): Promise<UploadReport>;
  import(imageId: string, request: ImportRequest, options?: GlanceCallOptions): Promise<void>;
  waitForImport(imageId: string, options?: WaitForImportOptions): Promise<GlanceImage>;
  tasks(imageId: string, options?: GlanceCallOptions): Promise<readonly ImageTask[]>;
  listLocations(imageId: string, options?: GlanceCallOptions): Promise<readonly ImageLocation[]>;
  addImageLocation(imageId: string, url: string, validationData: Readonly<Record<string, unknown>> | undefined, options?: GlanceCallOptions): Promise<void>;
  addLocation(imageId: string, url: string, metadata: Readonly<Record<string, unknown>>, options?: GlanceCallOptions): Promise<GlanceImage>;
  prepareDownload(): void;
  download(imageId: string, sink: ByteSink, options?: GlanceDownloadOptions): Promise<DownloadReport>;
  read(imageId: string, options?: GlanceDownloadOptions): AsyncIterable<Uint8Array>;
  readRange(imageId: string, offset: number, length: number, options?: GlanceCallOptions): Promise<Uint8Array>;
  upload(imageId: string, source: UploadSource, options?: GlanceUploadOptions): Promise<UploadReport>;
  close(): Promise<void>;
}

interface GlanceClientOptions extends Partial<Timeouts$1> {
  readonly endpoint?: string | readonly string[] | undefined;
  readonly session?: Session | undefined;
  readonly tls?: TlsOptions$1 | undefined;
  readonly proxy?: ProxyOptions$1 | undefined;
  readonly retries?: number | undefined;
  readonly retryDelayMs?: number | undefined;
  readonly maximumRetryDelayMs?: number | undefined;
  readonly shuffleEndpoints?: boolean | undefined;
  readonly requestHeaders?: ((context: RequestContext) => Readonly<Record<string, string>>) | undefined;
  readonly logger?: Logger | undefined;
}

export declare class GlanceConnectionFailedError extends HttpConnectionFailedError {
  override readonly code = "GLANCE_CONNECTION_FAILED";
  constructor(init: {
    readonly reason: string;
    readonly cause?: unknown;
  });
}

interface GlanceDownloadOptions extends DownloadOptions {
  readonly context?: RequestContext | undefined;
  readonly image?: GlanceImage | undefined;
}

export declare class GlanceHttpError extends HttpStatusError {
  override readonly code = "GLANCE_HTTP";
}

interface GlanceImage {
  readonly id: string;
  readonly name?: string | null;
  readonly status: string;
  readonly visibility?: string;
  readonly owner?: string | null;
  readonly protected?: boolean;
  readonly disk_format?: string | null;
  readonly container_format?: string | null;
  readonly size?: number | null;
  readonly virtual_size?: number | null;
  readonly min_disk?: number;
  readonly min_ram?: number;
  readonly checksum?: string | null;
  readonly os_hash_algo?: string | null;
  readonly os_hash_value?: string | null;
  readonly os_hidden?: boolean;
  readonly tags?: readonly string[];
  readonly created_at?: string;
  readonly updated_at?: string;
  readonly direct_url?: string;
  readonly stores?: string;
  readonly os_glance_importing_to_stores?: string;
  readonly os_glance_failed_import?: string;
  readonly [property: string]: unknown;
}

interface GlanceImageService extends ImageService, AsyncDisposable {
  readonly client: GlanceClient;
  readRange(context: RequestContext, imageId: string, offset: number, length: number, options?: CallOptions): Promise<Uint8Array>;
  close(): Promise<void>;
}

interface GlanceImageServiceOptions {
  readonly allowedDirectUrlSchemes?: readonly string[] | undefined;
  readonly directUrlRoots?: readonly string[] | undefined;
  readonly locationClient?: GlanceClient | undefined;
  readonly checkAvailability?: boolean | undefined;
}

export declare class GlanceStoreNotFoundError extends ImageError {
  readonly code = "GLANCE_STORE_NOT_FOUND";
  readonly kind = "not-found";
  readonly storeId: string;
  constructor(init: {
    readonly storeId: string;
    readonly cause?: unknown;
  });
}

export declare class GlanceStoreReadOnlyError extends InvalidError {
  override readonly code = "GLANCE_STORE_READ_ONLY";
  readonly storeId: string;
  constructor(init: {
    readonly storeId: string;
    readonly cause?: unknown;
  });
}

interface GlanceUploadOptions extends CallOptions {
  readonly context?: RequestContext | undefined;
  readonly storeId?: string | undefined;
  readonly baseImageRef?: string | undefined;
  readonly whenWrong?: "delete" | "keep" | undefined;
  readonly target?: "file" | "stage" | undefined;
  readonly verify?: VerifyPolicy | undefined;
}

export declare class IdentityUnreachableError extends ImageError {
  readonly code = "IDENTITY_UNREACHABLE";
  readonly kind = "failed";
  readonly reason: string;
  constructor(init: {
    readonly reason: string;
    readonly cause?: unknown;
  });
}

export declare class ImageImportFailedError extends ImageError {
  readonly code = "IMAGE_IMPORT_FAILED";
  readonly kind = "failed";
  readonly imageId: string;
  readonly reason: string;
  readonly failedStores: readonly string[];
  constructor(init: {
    readonly imageId: string;
    readonly reason: string;
    readonly failedStores?: readonly string[];
    readonly cause?: unknown;
  });
}

export declare class ImageLimitExceededError extends ImageError {
  readonly code = "IMAGE_LIMIT_EXCEEDED";
  readonly kind = "invalid";
  readonly detail: string;
  constructor(init: {
    readonly detail?: string;
    readonly message?: string;
    readonly cause?: unknown;
  });
}

interface ImagePatch {
  readonly op: "add" | "replace" | "remove";
  readonly path: string;
  readonly value?: unknown;
}

interface ImageTask {
  readonly id?: string;
  readonly status?: string;
  readonly message?: string | null;
  readonly [field: string]: unknown;
}

export declare class ImageUploadFailedError extends ImageError {
  readonly code = "IMAGE_UPLOAD_FAILED";
  readonly kind = "failed";
  readonly imageId: string;
  readonly reason: string;
  readonly state: FailedUploadState;
  constructor(init: ImageUploadFailedErrorInit);
}

interface ImageUploadFailedErrorInit {
  readonly imageId: string;
  readonly reason: string;
  readonly state: FailedUploadState;
  readonly cause?: unknown;
}

interface ImportProgress {
  readonly status: string;
  readonly importingToStores: readonly string[];
  readonly failedStores: readonly string[];
  readonly size: number | undefined;
}

interface ImportRequest {
  readonly method: {
    readonly name: "glance-direct";
  } | {
    readonly name: "web-download";
    readonly uri: string;
  } | {
    readonly name: "copy-image";
  } | {
    readonly name: "glance-download";
    readonly glance_region: string;
    readonly glance_image_id: string;
    readonly glance_service_interface?: string;
  };
  readonly stores?: readonly string[] | undefined;
  readonly all_stores?: boolean | undefined;
  readonly all_stores_must_succeed?: boolean | undefined;
}

export declare class InvalidImageReferenceError extends InvalidError {
  override readonly code = "INVALID_IMAGE_REFERENCE";
  readonly imageReference: string;
  constructor(init: {
    readonly imageReference: string;
    readonly cause?: unknown;
  });
}

interface ListImagesOptions extends GlanceCallOptions {
  readonly filters?: Readonly<Record<string, string | number | boolean | readonly string[]>> | undefined;
  readonly marker?: string | undefined;
  readonly limit?: number | undefined;
  readonly pageSize?: number | undefined;
  readonly sortKeys?: readonly string[] | undefined;
  readonly sortDirections?: readonly ("asc" | "desc")[] | undefined;
  readonly memberStatus?: string | undefined;
}

interface LoadCloudOptions {
  readonly environment: Environment;
  readonly cloud?: string | undefined;
  readonly region?: string | undefined;
  readonly workingDirectory?: string | undefined;
  readonly directories?: readonly string[] | undefined;
  readonly logger?: Logger | undefined;
}

interface LoadSessionOptions extends LoadCloudOptions, Partial<Timeouts$1> {
  readonly proxy?: ProxyOptions$1 | undefined;
  readonly retries?: number | undefined;
  readonly interfaces?: readonly string[] | undefined;
}

interface LoadTlsOptions {
  readonly environment: Environment;
  readonly workingDirectory?: string | undefined;
  readonly settings?: Mapping | undefined;
}

interface LoadedSession {
  readonly cloud: string;
  readonly session: Session;
  readonly tls: TlsOptions$1 | undefined;
  readonly proxy: ProxyOptions$1 | undefined;
  readonly region: string | undefined;
  readonly account: string | undefined;
}

type Mapping = Readonly<Record<string, unknown>>;

export declare class NotAuthorizedError extends ImageError {
  readonly code = "NOT_AUTHORIZED";
  readonly kind = "not-authorized";
}

export declare class NotFoundError extends ImageError {
  readonly code = "NOT_FOUND";
  readonly kind = "not-found";
}

interface Session {
  authorize(context: RequestContext | undefined, signal?: AbortSignal): Promise<Authorization>;
  renew(used: Authorization, signal?: AbortSignal): Promise<boolean>;
  endpoints(serviceType: string, signal?: AbortSignal): Promise<readonly string[]>;
}

interface SessionOptions extends Partial<Timeouts$1> {
  readonly authType?: string | undefined;
  readonly auth?: AuthOptions | undefined;
  readonly region?: string | undefined;
  readonly interfaces?: readonly string[] | undefined;
  readonly endpointOverrides?: Readonly<Record<string, string>> | undefined;
  readonly serviceNames?: Readonly<Record<string, string>> | undefined;
  readonly serviceTypes?: Readonly<Record<string, string>> | undefined;
  readonly tls?: TlsOptions$1 | undefined;
  readonly proxy?: ProxyOptions$1 | undefined;
  readonly retries?: number | undefined;
}

interface UploadReport {
  readonly bytes: number;
  readonly retries: number;
  readonly hash: {
    readonly algorithm: string;
    readonly value: string;
    readonly verified: boolean;
  } | undefined;
}

interface WaitForImportOptions extends GlanceCallOptions {
  readonly stores?: readonly string[] | undefined;
  readonly intervalMs?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly onImportProgress?: ((progress: ImportProgress) => void) | undefined;
}

export declare function createGlanceClient(options: GlanceClientOptions): GlanceClient;

export declare function createGlanceImageService(clientOrOptions: GlanceClient | GlanceClientOptions, options?: GlanceImageServiceOptions): GlanceImageService;

export declare function createSession(options: SessionOptions): Session;

export declare function getApiServers(options: ApiServersOptions): ApiServer[];

export declare function getRemoteImageService(reference: string, defaultService: ImageService, createService: (netloc: string, useSsl: boolean) => ImageService): {
  readonly imageService: ImageService;
  readonly imageId: string;
};

export declare function loadCloud(options: LoadCloudOptions): Promise<CloudSettings>;

export declare function loadSession(options: LoadSessionOptions): Promise<LoadedSession>;

export declare function loadTls(options: LoadTlsOptions): Promise<TlsOptions$1 | undefined>;

export declare function validateStoreId(context: RequestContext, imageService: Pick<ImageService, "getStores">, storeId: string, options?: CallOptions): Promise<void>;

export {
  type ApiServer,
  type ApiServersOptions,
  type ApiVersion,
  type AuthOptions,
  type Authorization,
  type CloudSettings,
  ConfigurationError,
  type FailedUploadState,
  type GlanceCallOptions,
  type GlanceClient,
  type GlanceClientOptions,
  type GlanceDownloadOptions,
  type GlanceImage,
  type GlanceImageService,
  type GlanceImageServiceOptions,
  type GlanceUploadOptions,
  type ImagePatch,
  type ImageTask,
  type ImportProgress,
  type ImportRequest,
  type ListImagesOptions,
  type LoadCloudOptions,
  type LoadSessionOptions,
  type LoadTlsOptions,
  type LoadedSession,
  type ProxyOptions,
  type Session,
  type SessionOptions,
  type Timeouts,
  type TlsOptions,
  type UploadReport,
  type WaitForImportOptions,
  proxyFromEnvironment,
};
