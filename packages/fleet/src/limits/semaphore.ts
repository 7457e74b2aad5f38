interface Waiting {
  readonly weight: number
  readonly admit: () => void
}

/** Gives back what was taken; once is enough, twice is harmless. */
export type Release = () => void

/** A number of places, or bytes, that are given out in the order of asking. */
export class Semaphore {
  readonly #capacity: number
  readonly #queue: Waiting[] = []
  #taken = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** What is given out. */
  get taken(): number {
    return this.#taken
  }

  /** Waits for its turn. What is larger than the whole is given the whole, and so has it alone. */
  async acquire(weight: number, signal?: AbortSignal): Promise<Release> {
    signal?.throwIfAborted()
    const wanted = Math.min(weight, this.#capacity)
    if (this.#queue.length > 0 || this.#taken + wanted > this.#capacity) await this.#wait(wanted, signal)
    else this.#taken += wanted
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#taken -= wanted
      this.#admit()
    }
  }

  #wait(weight: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        weight,
        admit: () => {
          signal?.removeEventListener('abort', leave)
          resolve()
        },
      }
      const leave = (): void => {
        this.#queue.splice(this.#queue.indexOf(waiting), 1)
        this.#admit()
        reject(signal?.reason as Error)
      }
      signal?.addEventListener('abort', leave, { once: true })
      this.#queue.push(waiting)
    })
  }

  #admit(): void {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (this.#taken + next.weight > this.#capacity) return
      this.#queue.shift()
      this.#taken += next.weight
      next.admit()
    }
  }
}
