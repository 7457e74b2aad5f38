import { setTimeout as timeout } from 'node:timers/promises'
import { InvalidError } from '@disk-image/core'

/** When an answer counts as not coming. All in milliseconds. */
export interface Timeouts {
  /** @default 10 s */
  readonly connectTimeoutMs: number
  /** From the request to the answer's headers. @default 30 s */
  readonly headersTimeoutMs: number
  /** Of a small request (a record, a list, signing in) with all of its retries. @default 60 s */
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

/** Fills in the default timeouts. @throws {InvalidError} */
export function resolveTimeouts(options: Partial<Timeouts>): Timeouts {
  const names = [
    'connectTimeoutMs',
    'headersTimeoutMs',
    'callTimeoutMs',
    'idleTimeoutMs',
    'stallTimeoutMs',
    'storeTimeoutMs',
    'minimumBytesPerSecond',
  ] as const
  const resolved = names.map((name) => {
    const value = options[name] ?? defaultTimeouts[name]
    if (!Number.isFinite(value) || value <= 0) throw wrongOption(name, value, 'a number above 0')
    return [name, value] as const
  })
  const total = options.totalTimeoutMs
  if (total !== undefined && !(total > 0)) throw wrongOption('totalTimeoutMs', total, 'a number above 0')
  return Object.freeze({
    ...defaultTimeouts,
    ...(Object.fromEntries(resolved) as Partial<Timeouts>),
    totalTimeoutMs: total,
  })
}

/** An option of a client that can't be. */
export function wrongOption(name: string, value: unknown, right: string): InvalidError {
  return new InvalidError({ reason: `The option ${name} is ${String(value)}; it must be ${right}` })
}

/** Calls `onIdle` when fewer than the least bytes came during the idle time; time spent paused does not count. */
export interface IdleWatch {
  count(bytes: number): void
  pause(): void
  resume(): void
  stop(): void
}

/** Looks four times per idle time, so that an idle connection is noticed within one and a quarter of it. */
export function watchIdle(idleMs: number, minimumBytesPerSecond: number, onIdle: () => void): IdleWatch {
  const periods = 4
  const least = Math.max(1, (minimumBytesPerSecond * idleMs) / 1000)
  let samples: number[] = []
  let bytes = 0
  let paused = false
  const timer = setInterval(() => {
    if (paused) return
    samples.push(bytes)
    bytes = 0
    if (samples.length < periods) return
    if (samples.reduce((sum, sample) => sum + sample, 0) < least) onIdle()
    samples.shift()
  }, idleMs / periods)
  return {
    count: (more) => {
      bytes += more
    },
    pause: () => {
      paused = true
    },
    resume: () => {
      paused = false
      samples = []
    },
    stop: () => clearInterval(timer),
  }
}

/** Waits. After an abort it rejects with the signal's reason. */
export async function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  try {
    await timeout(milliseconds, undefined, { signal })
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}

/** Ends a transfer that gets nowhere, over all its tries, or takes too long. */
export interface StallWatch extends Disposable {
  /** Aborted with the caller's reason, or with a {@link TransferLimitError}. */
  readonly signal: AbortSignal
  /** The transfer got further, by these bytes; without a number, the limit begins anew. */
  progress(bytes?: number): void
  /** The delay is our own side's. */
  pause(): void
  resume(): void
}

/** Why a transfer was ended by its own limits. */
export class TransferLimitError extends Error {
  override readonly name = 'TransferLimitError'
}

/** Starts watching. */
export function watchStall(
  limits: Pick<Timeouts, 'stallTimeoutMs' | 'totalTimeoutMs' | 'minimumBytesPerSecond'>,
  callerSignal: AbortSignal | undefined,
): StallWatch {
  const controller = new AbortController()
  const begun = performance.now()
  let last = begun
  let paused = false
  const end = (message: string): void => controller.abort(new TransferLimitError(message))
  const timer = setInterval(
    () => {
      const now = performance.now()
      if (limits.totalTimeoutMs !== undefined && now - begun > limits.totalTimeoutMs) {
        end(`it took longer than ${limits.totalTimeoutMs / 1000} s.`)
      } else if (!paused && now - last > limits.stallTimeoutMs) {
        end(`no data came for ${limits.stallTimeoutMs / 1000} s.`)
      }
    },
    Math.max(10, Math.min(1000, limits.stallTimeoutMs / 10, (limits.totalTimeoutMs ?? 1e6) / 10)),
  )
  const onAbort = (): void => controller.abort(callerSignal?.reason)
  if (callerSignal?.aborted === true) onAbort()
  else callerSignal?.addEventListener('abort', onAbort, { once: true })
  return {
    signal: controller.signal,
    // Bytes that drip buy no more time than they may take.
    progress: (bytes = Number.POSITIVE_INFINITY) => {
      last = Math.min(performance.now(), last + (bytes / limits.minimumBytesPerSecond) * 1000)
    },
    pause: () => {
      paused = true
    },
    resume: () => {
      paused = false
      last = performance.now()
    },
    [Symbol.dispose]: () => {
      clearInterval(timer)
      callerSignal?.removeEventListener('abort', onAbort)
    },
  }
}
