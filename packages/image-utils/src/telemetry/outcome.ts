import { ImageError, ImageUnacceptableError } from '@disk-image/core'

/** How an operation ended, in few words: safe to count by. */
export interface Outcome {
  readonly outcome: 'done' | 'refused' | 'failed' | 'cancelled'
  /** The error's stable code, or its class. Never its message, which may name an image or a path. */
  readonly errorType?: string | undefined
  /** The rule that refused. */
  readonly rule?: string | undefined
}

export const done: Outcome = Object.freeze<Outcome>({ outcome: 'done' })

/** Tells an error of ours, of the system and of the caller's own abort apart. */
export function outcomeOf(error: unknown, signal: AbortSignal | undefined): Outcome {
  if (signal?.aborted === true && error === signal.reason) return { outcome: 'cancelled' }
  if (ImageError.is(error)) {
    const rule = error instanceof ImageUnacceptableError ? error.rule : undefined
    return { outcome: error.kind === 'refused' ? 'refused' : 'failed', errorType: error.code, rule }
  }
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown }
  // Codes of the system are upper-case words; anything else could be text of somebody's own.
  if (typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,63}$/.test(code)) {
    return { outcome: 'failed', errorType: code }
  }
  return {
    outcome: 'failed',
    errorType: typeof name === 'string' && /^\w{1,64}$/.test(name) ? name : '_OTHER',
  }
}
