/** Ends a transfer that gets nowhere, over all its tries, or takes too long. */
export interface StallWatch extends Disposable {
  /** Aborted with the caller's reason, or with a {@link TransferLimitError}. */
  readonly signal: AbortSignal
  /** The transfer got further. */
  progress(): void
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
  limits: { readonly stallTimeoutMs: number; readonly totalTimeoutMs: number | undefined },
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
    progress: () => {
      last = performance.now()
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
