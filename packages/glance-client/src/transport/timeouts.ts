/** When an answer counts as not coming. All in milliseconds. */
export interface Timeouts {
  /** @default 10 s */
  readonly connectTimeoutMs: number
  /** From the request to the answer's headers. @default 30 s */
  readonly headersTimeoutMs: number
  /** Of a small request (a record, a list, signing in) with all of its repeats. @default 60 s */
  readonly callTimeoutMs: number
  /** Without a byte, or with fewer than `minimumBytesPerSecond` on average. @default 30 s */
  readonly idleTimeoutMs: number
  /** Without progress, or with less than that, over all tries: then a download or upload is given up. @default 75 s */
  readonly stallTimeoutMs: number
  /** From the last byte sent to the answer, while the service stores the data. @default 60 s */
  readonly storeTimeoutMs: number
  /** Of a whole download or upload. @default none */
  readonly totalTimeoutMs: number | undefined
  /** Slower than this is no progress. @default 1024 */
  readonly minimumBytesPerSecond: number
}

/** The defaults: a server that stalls for good ends the call within 90 s. */
export const defaultTimeouts: Timeouts = Object.freeze({
  connectTimeoutMs: 10_000,
  headersTimeoutMs: 30_000,
  callTimeoutMs: 60_000,
  idleTimeoutMs: 30_000,
  stallTimeoutMs: 75_000,
  storeTimeoutMs: 60_000,
  totalTimeoutMs: undefined,
  minimumBytesPerSecond: 1024,
})
