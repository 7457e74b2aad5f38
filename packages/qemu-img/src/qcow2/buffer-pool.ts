/** A fixed number of equal buffers; whoever finds none waits. It is what bounds the bytes in flight. */
export class BufferPool {
  readonly #size: number
  readonly #free: ArrayBuffer[] = []
  readonly #waiting: ((buffer: ArrayBuffer) => void)[] = []
  #unmade: number

  constructor(count: number, sizeBytes: number) {
    this.#unmade = count
    this.#size = sizeBytes
  }

  acquire(): Promise<ArrayBuffer> {
    const buffer = this.#free.pop()
    if (buffer !== undefined) return Promise.resolve(buffer)
    if (this.#unmade > 0) {
      this.#unmade -= 1
      return Promise.resolve(new ArrayBuffer(this.#size))
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** A buffer that was lost in another thread is replaced. */
  release(buffer: ArrayBuffer): void {
    const whole = buffer.byteLength === this.#size ? buffer : new ArrayBuffer(this.#size)
    const next = this.#waiting.shift()
    if (next === undefined) this.#free.push(whole)
    else next(whole)
  }
}
