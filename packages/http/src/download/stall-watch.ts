import type { Timeouts } from '../transport/timeouts.ts'

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
