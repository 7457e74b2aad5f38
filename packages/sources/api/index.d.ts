import {
  CallOptions,
  Checksum,
  DownloadReport,
  ImageError,
  ProcessRunner,
  ProgressListener,
  Source,
} from "@disk-image/core";

import {
  HttpClient,
  HttpClientOptions,
} from "@disk-image/http";

export declare class ChecksumList {
  #private;
  constructor(text: string, name?: string);
  find(file: string): Checksum;
}

type CredentialSource = (host: string, repository: string) => Promise<RegistryCredentials | undefined>;

interface HttpSource extends Source {
  readonly identity: string | undefined;
  readonly promises: readonly Checksum[];
  readRange(offset: number, length: number, options?: CallOptions): Promise<Uint8Array>;
  peek(length: number, options?: CallOptions): Promise<Uint8Array>;
  describe(options?: CallOptions): Promise<void>;
  close(): Promise<void>;
}

interface HttpSourceOptions extends UrlOptions {
  readonly name?: string | undefined;
  readonly maximumBytes?: number | undefined;
}

interface OciDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

interface OciDisk {
  readonly kind: OciDiskKind;
  readonly blob: OciDescriptor;
  readonly diskFormat: "qcow2" | "raw" | undefined;
  readonly containerFormat: "bare" | "compressed" | "containerdisk" | undefined;
}

type OciDiskKind = "containerdisk" | "artifact" | "kubevirt";

interface OciLayoutReference {
  readonly kind: "layout";
  readonly folder: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

type OciReference = OciRegistryReference | OciLayoutReference;

interface OciRegistryReference {
  readonly kind: "registry";
  readonly host: string;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

interface OciSource extends Source {
  readonly sizeBytes: number;
  readonly name: string;
  readonly digest: string;
  readonly promises: readonly Checksum[];
  readonly kind: OciDiskKind;
  readonly diskFormat: OciDisk["diskFormat"];
  readonly containerFormat: OciDisk["containerFormat"];
  close(): Promise<void>;
}

interface OciSourceOptions extends RegistryOptions {
  readonly platform?: string | undefined;
  readonly layer?: string | undefined;
  readonly workingDirectory?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export declare class PushFailedError extends ImageError {
  readonly code = "PUSH_FAILED";
  readonly kind = "failed";
  readonly reference: string;
  readonly reason: string;
  constructor(init: {
    readonly reference: string;
    readonly reason: string;
    readonly cause?: unknown;
  });
}

interface PushOptions extends Omit<RegistryOptions, "mirrors"> {
  readonly as?: OciDiskKind | undefined;
  readonly diskFormat: string;
  readonly fileName?: string | undefined;
  readonly platform?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly compressionLevel?: number | undefined;
  readonly portionBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ProgressListener | undefined;
}

interface PushReport {
  readonly reference: string;
  readonly digest: string;
  readonly blob: UploadedBlob;
  readonly source: DownloadReport;
  readonly resumes: number;
  readonly durationSeconds: number;
}

interface RegistryCredentialOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly file?: string | undefined;
  readonly runner?: ProcessRunner | undefined;
  readonly helpers?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

type RegistryCredentials = {
  readonly username: string;
  readonly password: string;
} | {
  readonly identityToken: string;
};

interface RegistryOptions extends HttpClientOptions {
  readonly credentials?: CredentialSource | undefined;
  readonly plainHttp?: readonly string[] | undefined;
  readonly mirrors?: Readonly<Record<string, readonly string[]>> | undefined;
}

interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

interface S3Location {
  readonly bucket: string;
  readonly key: string;
}

interface S3Settings {
  readonly credentials: S3Credentials | undefined;
  readonly region: string | undefined;
  readonly endpointUrl: string | undefined;
  readonly addressingStyle: "path" | "virtual" | undefined;
}

interface S3SettingsOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly profile?: string | undefined;
}

interface S3Source extends Source {
  readonly sizeBytes: number;
  readonly promises: readonly Checksum[];
  readonly etag: string;
  readonly identity: string | undefined;
  readonly region: string;
  close(): Promise<void>;
}

interface S3SourceOptions extends HttpClientOptions, Partial<S3Settings> {
  readonly environment?: S3SettingsOptions["environment"] | undefined;
  readonly profile?: string | undefined;
  readonly anonymous?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface SigningScope {
  readonly credentials: S3Credentials;
  readonly region: string;
  readonly service: string;
  readonly date: Date;
}

interface UploadedBlob {
  readonly digest: string;
  readonly size: number;
}

interface UrlCredentialOptions {
  readonly headersFile?: string | undefined;
  readonly netrcFile?: string | undefined;
  readonly workingDirectory?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
}

interface UrlOptions extends HttpClientOptions {
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly basicAuth?: {
    readonly user: string;
    readonly password: string;
  } | undefined;
  readonly client?: HttpClient | undefined;
}

export declare function fetchChecksumList(url: string | URL, options?: UrlOptions & CallOptions): Promise<ChecksumList>;

export declare function httpSource(url: string | URL, options?: HttpSourceOptions): HttpSource;

export declare function ociSource(reference: string, options?: OciSourceOptions): Promise<OciSource>;

export declare function parseOciReference(text: string): OciReference;

export declare function parseS3Location(text: string): S3Location;

export declare function presignS3Url(url: URL, expiresSeconds: number, scope: Omit<SigningScope, "service">): URL;

export declare function pushImage(source: Source, reference: string, options: PushOptions): Promise<PushReport>;

export declare function registryCredentials(options: RegistryCredentialOptions): CredentialSource;

export declare function s3Settings({ environment, profile }: S3SettingsOptions): Promise<S3Settings>;

export declare function s3Source(location: string, options?: S3SourceOptions): Promise<S3Source>;

export declare function urlCredentials(url: string | URL, options: UrlCredentialOptions): Promise<Pick<UrlOptions, "headers" | "basicAuth">>;

export type {
  CredentialSource,
  HttpSource,
  HttpSourceOptions,
  OciDisk,
  OciDiskKind,
  OciLayoutReference,
  OciReference,
  OciRegistryReference,
  OciSource,
  OciSourceOptions,
  PushOptions,
  PushReport,
  RegistryCredentialOptions,
  RegistryCredentials,
  RegistryOptions,
  S3Credentials,
  S3Location,
  S3Settings,
  S3SettingsOptions,
  S3Source,
  S3SourceOptions,
  SigningScope,
  UrlCredentialOptions,
  UrlOptions,
};
