export { createHttpClient } from './client/http-client.ts'
export type { ClientAnswer, ClientRequest, HttpClient, HttpClientOptions } from './client/http-client.ts'
export { download, Download, whileWatched } from './download/download.ts'
export { isRequestedRange, refuseEncoded, retryText } from './download/origin.ts'
export type { DataAnswer, DataRequest, DownloadOrigin, DownloadTools } from './download/origin.ts'
export { readRange } from './download/read-range.ts'
export { TransferLimitError, watchStall } from './transport/timeouts.ts'
export type { StallWatch } from './transport/timeouts.ts'
export {
  AddressRefusedError,
  ConfigurationError,
  ConnectionBrokenError,
  connectionText,
  HttpConnectionFailedError,
  HttpStatusError,
  ReplacedError,
} from './errors.ts'
export type { AddressRule, BrokenPhase, HttpStatusErrorInit } from './errors.ts'
export { guardAddresses, isPublicAddress } from './transport/addresses.ts'
export type { AddressGuard, AddressPolicy, ResolvedAddress, Resolver } from './transport/addresses.ts'
export type { BodyTaker } from './transport/answer-body.ts'
export { createConnectionPool } from './transport/connection-pool.ts'
export type { ConnectionPool } from './transport/connection-pool.ts'
export type { Connection, TlsOptions } from './transport/connection.ts'
export { describeStatus, errorText, proxyOf, redirectText } from './transport/error-text.ts'
export { exchange } from './transport/exchange.ts'
export type { ExchangeRequest, ExchangeResult } from './transport/exchange.ts'
export { createHttp, isPassing, ownConnections, retryAfterMs } from './transport/http.ts'
export type { Carrier, Http, HttpRequest, HttpResponse, Route } from './transport/http.ts'
export type { ResponseHead } from './transport/http1.ts'
export { secretsOf } from './transport/mask-secrets.ts'
export { proxyFromEnvironment } from './transport/proxy.ts'
export type { ProxyOptions } from './transport/proxy.ts'
export { readJson } from './transport/http.ts'
export { SourceSizeError } from './transport/send-body.ts'
export type { RequestBody } from './transport/send-body.ts'
export { defaultTimeouts, delay, resolveTimeouts, wrongOption } from './transport/timeouts.ts'
export type { Timeouts } from './transport/timeouts.ts'
export { undiciConnections } from './transport/undici.ts'
