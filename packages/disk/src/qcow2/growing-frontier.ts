import type { Qcow2Frontier } from './frontier.ts'

/** The frontier of a file that somebody writes from its start. */
export class GrowingFrontier implements Qcow2Frontier {
  #available: number
  #ended = false
  #waiting: { readonly offset: number; readonly wake: () => void }[] = []

  constructor(available: number) {
    this.#available = available
  }

  get ended(): boolean {
    return this.#ended
  }

  available(): number {
    return this.#available
  }

  /** Tells that the file has come to so many bytes. */
  advance(available: number): void {
    this.#available = available
    this.#wake((offset) => offset <= available)
  }

  /** Tells that nothing more will come. */
  end(): void {
    this.#ended = true
    this.#wake(() => true)
  }

  waitFor(offset: number): Promise<void> {
    if (this.#ended || offset <= this.#available) return Promise.resolve()
    return new Promise((wake) => {
      this.#waiting.push({ offset, wake })
    })
  }

  #wake(due: (offset: number) => boolean): void {
    const waiting = this.#waiting
    this.#waiting = waiting.filter(({ offset }) => !due(offset))
    for (const { offset, wake } of waiting) if (due(offset)) wake()
  }
}
