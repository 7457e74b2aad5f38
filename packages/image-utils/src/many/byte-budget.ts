/** Bytes that somebody may use. */
export interface ByteLease {
  /**
   * Splits bytes off that stay taken after the release, while nobody works with them: a file that is kept for
   * others. Called once at most.
   */
  keep(bytes: number): { release(): void }
  release(): void
}

interface Waiting {
  readonly bytes: number
  readonly grant: (lease: ByteLease) => void
}

/**
 * Bounds the bytes that are in use at once. Strictly first come, first served, so that one that needs much is
 * never overtaken for ever by many that need little.
 *
 * Where nobody works, the first in line is served whatever it needs: a need beyond the whole budget waits until
 * it is alone, and bytes that are only kept can't block those for whom they are kept.
 */
export class ByteBudget {
  readonly limitBytes: number
  readonly #line: Waiting[] = []
  #usedBytes = 0
  #active = 0

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** @throws the signal's reason, where it aborts before there is room */
  take(bytes: number, signal: AbortSignal): Promise<ByteLease> {
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#line.splice(this.#line.indexOf(waiting), 1)
        reject(signal.reason as Error)
        this.#serve()
      }
      const waiting: Waiting = {
        bytes,
        grant: (lease) => {
          signal.removeEventListener('abort', onAbort)
          resolve(lease)
        },
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#line.push(waiting)
      this.#serve()
    })
  }

  #serve(): void {
    for (;;) {
      const [first] = this.#line
      if (first === undefined) return
      if (this.#active > 0 && this.#usedBytes + first.bytes > this.limitBytes) return
      this.#line.shift()
      this.#active += 1
      this.#usedBytes += first.bytes
      first.grant(this.#lease(first.bytes))
    }
  }

  #lease(bytes: number): ByteLease {
    let own = bytes
    let released = false
    return {
      keep: (keptBytes) => {
        own -= keptBytes
        let kept = true
        return {
          release: () => {
            if (kept) this.#giveBack(keptBytes)
            kept = false
          },
        }
      },
      release: () => {
        if (released) return
        released = true
        this.#active -= 1
        this.#giveBack(own)
      },
    }
  }

  #giveBack(bytes: number): void {
    this.#usedBytes -= bytes
    this.#serve()
  }
}
