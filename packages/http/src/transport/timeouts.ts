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
