import {
  BufferPool,
  ExpectedImage,
  HashPool,
  TransferResult,
} from "@disk-image/io";

import {
  ByteSink,
  CallOptions,
  Checksum,
  DownloadOptions,
  DownloadReport,
  ImageDownloadFailedError,
  ImageError,
  ImageErrorKind,
  InvalidError,
  Logger,
} from "@disk-image/core";

import {
  LookupFunction,
  Socket,
} from "node:net";

interface AddressGuard {
  readonly check: (url: URL) => void;
  checkName(url: URL): Promise<void>;
  readonly lookup: LookupFunction | undefined;
}

interface AddressPolicy {
  readonly schemes?: readonly ("http" | "https")[] | undefined;
  readonly hosts?: readonly string[] | undefined;
  readonly ports?: readonly number[] | undefined;
  readonly privateAddresses?: boolean | readonly string[] | undefined;
  readonly downgrade?: boolean | undefined;
}

export declare class AddressRefusedError extends ImageError {
  readonly code = "ADDRESS_REFUSED";
  readonly kind = "refused";
  readonly rule: AddressRule;
  readonly host: string;
  readonly reason: string;
  constructor(init: {
    readonly rule: AddressRule;
    readonly host: string;
    readonly reason: string;
    readonly cause?: unknown;
  });
}

type AddressRule = "scheme" | "host" | "port" | "address" | "downgrade" | "credentials";

interface BodyTaker {
  take(bytes: Uint8Array): Promise<void> | undefined;
  nextBuffer?(): Uint8Array | undefined;
}

type BrokenPhase = "connect" | "headers" | "body" | "upload";

interface Carrier {
  carry(request: Pick<ExchangeRequest, "url" | "method" | "headers" | "text" | "takeBody"> & {
    readonly signal: AbortSignal;
    readonly limitMs: number;
  }): Promise<Pick<ExchangeResult, "head" | "text" | "proxy">>;
  close(): Promise<void>;
}

interface ClientAnswer extends Omit<ExchangeResult, "proxy"> {
  readonly url: URL;
  readonly error: HttpStatusError | undefined;
}

interface ClientRequest {
  readonly method?: ExchangeRequest["method"] | undefined;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly text?: string | undefined;
  readonly body?: RequestBody | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly follow?: boolean | undefined;
  readonly requestIdHeader?: string | undefined;
  takeBody?(head: ResponseHead): BodyTaker | undefined;
}

export declare class ConfigurationError extends InvalidError {
  override readonly code = "CONFIGURATION";
}

interface Connection {
  readonly socket: Socket;
  readonly ready: "connect" | "secureConnect" | undefined;
  give(user: ConnectionUser | undefined): void;
}

export declare class ConnectionBrokenError extends Error {
  override readonly name = "ConnectionBrokenError";
  readonly phase: BrokenPhase;
  readonly fatal: boolean;
  constructor(phase: BrokenPhase, message: string, options?: {
    cause?: unknown;
    fatal?: boolean;
  });
}

interface ConnectionPool {
  take(url: URL): Connection | undefined;
  keep(url: URL, connection: Connection): void;
  close(): void;
}

interface ConnectionUser {
  nextBuffer(): Uint8Array | undefined;
  onRead(bytes: Uint8Array): boolean;
  onError(error: Error): void;
  onEnd(): void;
  onClose(): void;
}

interface DataAnswer {
  readonly head: ResponseHead;
  readonly error: HttpStatusError | undefined;
}

interface DataRequest {
  readonly range?: {
    readonly first: number;
    readonly last?: number | undefined;
  } | undefined;
  readonly signal: AbortSignal | undefined;
  readonly takeBody: (head: ResponseHead) => BodyTaker | undefined;
}

export declare class Download implements AsyncDisposable {
  #private;
  resumes: number;
  constructor(origin: DownloadOrigin, sink: ByteSink, options: DownloadOptions & {
    readonly watch: StallWatch;
  }, tools: DownloadTools);
  run(): Promise<TransferResult>;
  [Symbol.asyncDispose](): Promise<void>;
  wrongData(reason: string): ImageDownloadFailedError;
}

interface DownloadOrigin {
  readonly name: string;
  readonly expected: ExpectedImage | undefined;
  readonly promises?: readonly Checksum[] | undefined;
  readonly hashForReport?: string | undefined;
  fetch(request: DataRequest): Promise<DataAnswer>;
  checkSame?(signal: AbortSignal): Promise<void>;
  readonly comparesAgain?: boolean | undefined;
  nextServer?(): void;
  translate?(error: HttpStatusError): unknown;
  unreachable?(reason: string, cause: unknown): Error;
}

interface DownloadTools {
  readonly timeouts: Timeouts;
  readonly logger: Logger;
  readonly retries: number;
  waitMs(attempt: number, retryAfterMs: number | undefined): number;
  readonly hashPool: HashPool;
  readonly buffers: BufferPool;
}

interface ExchangeRequest {
  readonly url: URL;
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly headers: Readonly<Record<string, string>>;
  readonly timeouts: Timeouts;
  readonly tls?: TlsOptions | undefined;
  readonly proxy?: ProxyOptions | undefined;
  readonly guard?: AddressGuard | undefined;
  readonly connections?: ConnectionPool | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly text?: string | undefined;
  readonly body?: RequestBody | undefined;
  takeBody(head: ResponseHead): BodyTaker | undefined;
}

interface ExchangeResult {
  readonly head: ResponseHead;
  readonly text: string;
  readonly bodyStarted: boolean;
  readonly bodySent: boolean;
  readonly proxy?: string | undefined;
}

interface Http {
  send(request: HttpRequest): Promise<HttpResponse>;
  close(): Promise<void>;
}

interface HttpClient extends AsyncDisposable {
  send(request: ClientRequest): Promise<ClientAnswer>;
  read(request: ClientRequest & {
    readonly maximumBytes?: number | undefined;
  }): Promise<HttpResponse & {
    readonly finalUrl: URL;
  }>;
  fetchData(url: URL, headers: Readonly<Record<string, string>>, request: DataRequest): Promise<DataAnswer & {
    readonly url: URL;
  }>;
  download(origin: DownloadOrigin, sink: ByteSink, options?: DownloadOptions): Promise<DownloadReport>;
  readRange(origin: DownloadOrigin, offset: number, length: number, options?: CallOptions): Promise<Uint8Array>;
  warm(): void;
  close(): Promise<void>;
}

interface HttpClientOptions extends Partial<Timeouts> {
  readonly tls?: TlsOptions | undefined;
  readonly insecureHosts?: readonly string[] | undefined;
  readonly proxy?: ProxyOptions | undefined;
  readonly allow?: AddressPolicy | undefined;
  readonly resolver?: Resolver | undefined;
  readonly retries?: number | undefined;
  readonly retryDelayMs?: number | undefined;
  readonly maximumRetryDelayMs?: number | undefined;
  readonly maximumRedirects?: number | undefined;
  readonly logger?: Logger | undefined;
}

export declare class HttpConnectionFailedError extends ImageError {
  readonly code: string;
  readonly kind: ImageErrorKind;
  readonly reason: string;
  constructor(init: {
    readonly reason: string;
    readonly message?: string;
    readonly cause?: unknown;
  });
}

interface HttpRequest {
  readonly method: ExchangeRequest["method"];
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  readonly limitMs?: number | undefined;
  readonly maximumBytes?: number | undefined;
}

interface HttpResponse {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
  readonly proxy?: string | undefined;
  readonly url: string;
}

export declare class HttpStatusError extends ImageError {
  readonly code: string;
  readonly kind: ImageErrorKind;
  readonly status: number;
  readonly method: string;
  readonly url: string;
  readonly detail: string;
  readonly requestId: string | undefined;
  readonly retryAfterMs: number | undefined;
  constructor(init: HttpStatusErrorInit);
}

interface HttpStatusErrorInit {
  readonly status: number;
  readonly method: string;
  readonly url: string;
  readonly detail: string;
  readonly requestId?: string | undefined;
  readonly proxy?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

interface ProxyOptions {
  readonly http?: string | undefined;
  readonly https?: string | undefined;
  readonly noProxy?: string | undefined;
}

export declare class ReplacedError extends Error {
  override readonly name = "ReplacedError";
  constructor(what: string);
}

interface RequestBody {
  readonly size: number | undefined;
  open(): AsyncIterable<Uint8Array>;
  onPortion?(bytes: Uint8Array): Promise<void> | void;
  readonly expectsContinue?: boolean | undefined;
  readonly continueTimeoutMs?: number | undefined;
}

interface ResolvedAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

type Resolver = (host: string) => Promise<readonly ResolvedAddress[]>;

interface ResponseHead {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly persistent: boolean;
}

interface Route {
  readonly tls?: TlsOptions | undefined;
  readonly proxy?: ProxyOptions | undefined;
}

export declare class SourceSizeError extends Error {
  override readonly name = "SourceSizeError";
}

interface StallWatch extends Disposable {
  readonly signal: AbortSignal;
  progress(bytes?: number): void;
  pause(): void;
  resume(): void;
}

interface Timeouts {
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly callTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly stallTimeoutMs: number;
  readonly storeTimeoutMs: number;
  readonly totalTimeoutMs: number | undefined;
  readonly minimumBytesPerSecond: number;
}

interface TlsOptions {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly insecure?: boolean | undefined;
}

export declare class TransferLimitError extends Error {
  override readonly name = "TransferLimitError";
}

export declare function connectionText(url: URL, phase: BrokenPhase, reason: string): string;

export declare function createConnectionPool(): ConnectionPool;

export declare function createHttp(timeouts: Pick<Timeouts, "headersTimeoutMs">, carrier: Carrier): Http;

export declare function createHttpClient(options?: HttpClientOptions): HttpClient;

export declare const defaultTimeouts: Timeouts;

export declare function delay(milliseconds: number, signal?: AbortSignal): Promise<void>;

export declare function describeStatus(method: string, url: URL, response: Omit<HttpResponse, "url">, secrets: readonly string[], requestIdHeader: string): HttpStatusErrorInit;

export declare function download(origin: DownloadOrigin, sink: ByteSink, options: DownloadOptions, tools: DownloadTools): Promise<DownloadReport>;

export declare function errorText(body: string, secrets?: readonly string[]): string;

export declare function exchange(request: ExchangeRequest): Promise<ExchangeResult>;

export declare function guardAddresses(policy: AddressPolicy, resolver?: Resolver): AddressGuard;

export declare function isPassing(status: number): boolean;

export declare function isPublicAddress(address: string): boolean;

export declare function isRequestedRange(header: string | undefined, first: number, last: number | undefined, size: number | undefined): boolean;

export declare function ownConnections(timeouts: Timeouts, route: Route, connections: ConnectionPool): Carrier;

export declare function proxyFromEnvironment(environment: Readonly<Record<string, string | undefined>>): ProxyOptions | undefined;

export declare function proxyOf(status: number, headers: ReadonlyMap<string, string>, secrets: readonly string[]): string | undefined;

export declare function readJson(text: string): unknown;

export declare function readRange(origin: DownloadOrigin, offset: number, length: number, options: CallOptions, tools: Pick<DownloadTools, "retries" | "waitMs">): Promise<Uint8Array>;

export declare function redirectText(url: URL, location: string, secrets: readonly string[]): string;

export declare function refuseEncoded(url: URL, { status, headers }: ResponseHead): void;

export declare function resolveTimeouts(options: Partial<Timeouts>): Timeouts;

export declare function retryAfterMs(headers: ReadonlyMap<string, string>): number | undefined;

export declare function retryText(error: unknown, waitMs: number, attempt: number, retries: number): string;

export declare function secretsOf(headers: Readonly<Record<string, string>>): string[];

export declare function undiciConnections({ connectTimeoutMs }: Timeouts, route: Route): Carrier;

export declare function watchStall(limits: Pick<Timeouts, "stallTimeoutMs" | "totalTimeoutMs" | "minimumBytesPerSecond">, callerSignal: AbortSignal | undefined): StallWatch;

export declare function whileWatched<T>(name: string, signal: AbortSignal | undefined, watch: StallWatch, act: () => Promise<T>, isPartial?: () => boolean): Promise<T>;

export declare function wrongOption(name: string, value: unknown, right: string): InvalidError;

export type {
  AddressGuard,
  AddressPolicy,
  AddressRule,
  BodyTaker,
  BrokenPhase,
  Carrier,
  ClientAnswer,
  ClientRequest,
  Connection,
  ConnectionPool,
  DataAnswer,
  DataRequest,
  DownloadOrigin,
  DownloadTools,
  ExchangeRequest,
  ExchangeResult,
  Http,
  HttpClient,
  HttpClientOptions,
  HttpRequest,
  HttpResponse,
  HttpStatusErrorInit,
  ProxyOptions,
  RequestBody,
  ResolvedAddress,
  Resolver,
  ResponseHead,
  Route,
  StallWatch,
  Timeouts,
  TlsOptions,
};
