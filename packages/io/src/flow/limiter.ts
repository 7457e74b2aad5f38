/** What was given out, until it is released. */
export interface Lease {
  /**
   * Splits some of it off that stays taken after the release, while nobody works with it: a file that is kept for
   * others. Called once at most.
   */
  keep(weight: number): { readonly release: () => void }
  /** Gives it back; once is enough, twice is harmless. */
  readonly release: () => void
}

interface Waiting {
  readonly weight: number
  readonly grant: (lease: Lease) => void
}

/**
 * A number of places, or bytes, of which only so much is in use at once. Strictly first come, first served, so that
 * one that needs much is never overtaken for ever by many that need little.
 *
 * Where nobody works, the first in line is served whatever it needs: a need beyond the whole waits until it is
 * alone, and what is only kept can't block those for whom it is kept.
 */
export class Limiter {
  readonly limit: number
  readonly #line: Waiting[] = []
  #taken = 0
  #active = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** What is given out. */
  get taken(): number {
    return this.#taken
  }

  /** @throws the signal's reason, where it aborts before there is room */
  acquire(weight: number, signal?: AbortSignal): Promise<Lease> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const leave = (): void => {
        this.#line.splice(this.#line.indexOf(waiting), 1)
        reject(signal?.reason as Error)
        this.#serve()
      }
      const waiting: Waiting = {
        weight,
        grant: (lease) => {
          signal?.removeEventListener('abort', leave)
          resolve(lease)
        },
      }
      signal?.addEventListener('abort', leave, { once: true })
      this.#line.push(waiting)
      this.#serve()
    })
  }

  #serve(): void {
    for (let [first] = this.#line; first !== undefined; [first] = this.#line) {
      if (this.#active > 0 && this.#taken + first.weight > this.limit) return
      this.#line.shift()
      this.#active += 1
      this.#taken += first.weight
      first.grant(this.#lease(first.weight))
    }
  }

  #lease(weight: number): Lease {
    let own = weight
    const release = this.#once(() => {
      this.#active -= 1
      return own
    })
    return {
      keep: (kept) => {
        own -= kept
        return { release: this.#once(() => kept) }
      },
      release,
    }
  }

  /** Gives back what `end` says, the first time. */
  #once(end: () => number): () => void {
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#taken -= end()
      this.#serve()
    }
  }
}
