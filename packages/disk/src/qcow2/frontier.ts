import { refuse } from './qcow2-decode-error.ts'

/** How far a file that still grows has come. */
export interface Qcow2Frontier {
  /** Bytes from the file's start that can be read now. It never shrinks. */
  available(): number
  /**
   * Resolves when so many bytes are available, or the file has ended before.
   * A rejection ends the decoding with the same error.
   */
  waitFor(offset: number): Promise<void>
  /** Whether nothing more will come. */
  readonly ended: boolean
}

/** A file that is complete. */
export function completeFrontier(sizeBytes: number): Qcow2Frontier {
  return { available: () => sizeBytes, waitFor: () => Promise.resolve(), ended: true }
}

/**
 * Waits until the file is so long, or has ended.
 *
 * @returns the bytes available then
 * @throws the signal's reason after an abort
 */
export async function waitForBytes(
  frontier: Qcow2Frontier,
  bytes: number,
  signal: AbortSignal,
): Promise<number> {
  signal.throwIfAborted()
  while (frontier.available() < bytes && !frontier.ended) {
    const before = frontier.available()
    await raceSignal(frontier.waitFor(bytes), signal)
    if (frontier.available() === before && !frontier.ended) {
      refuse('qcow2-frontier', 'the download frontier stands still, but did not end')
    }
  }
  return frontier.available()
}

/** Settles as the promise does, or rejects with the signal's reason where that comes first. */
export function raceSignal<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
