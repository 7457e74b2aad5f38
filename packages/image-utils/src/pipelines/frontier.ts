/**
 * How far a file has been written, for somebody who reads behind the writer.
 *
 * Waiters are woken when their byte is there, and all of them when the writing has ended.
 */
export class Frontier {
  #available = 0
  #ended = false
  #waiting: { readonly offset: number; readonly wake: () => void }[] = []

  get ended(): boolean {
    return this.#ended
  }

  /** Bytes that are there, from the start. */
  available(): number {
    return this.#available
  }

  /** Tells that the file has grown to so many bytes. */
  advance(available: number): void {
    this.#available = available
    this.#wake((offset) => offset <= available)
  }

  /** Tells that nothing more will come. */
  end(): void {
    this.#ended = true
    this.#wake(() => true)
  }

  /** Resolves when so many bytes are there, or nothing more will come. */
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
