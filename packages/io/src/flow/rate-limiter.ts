import { setTimeout as sleep } from 'node:timers/promises'

/** Lets bytes pass at a rate: whoever is early waits. */
export class RateLimiter {
  readonly #bytesPerMs: number
  readonly #signal: AbortSignal | undefined
  #free = 0

  constructor(bytesPerSecond: number, signal?: AbortSignal) {
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#signal = signal
  }

  /** Resolves when so many bytes may be written. */
  async take(bytes: number): Promise<void> {
    const now = performance.now()
    const wait = this.#free - now
    this.#free = Math.max(now, this.#free) + bytes / this.#bytesPerMs
    if (wait > 0) await sleep(wait, undefined, { signal: this.#signal }).catch(() => undefined)
    this.#signal?.throwIfAborted()
  }
}
