import type { RandomAccessReader } from '@disk-image/core'
import type { SpoolFile } from './spool-file.ts'

interface Waiter {
  readonly bytes: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** A spooled image that still comes, from its start to its end: a read waits until its bytes are there. */
export class GrowingFile implements RandomAccessReader {
  readonly #file: SpoolFile
  #available = 0
  #hasEnded = false
  #failure: { readonly error: unknown } | undefined
  #waiting: Waiter[] = []
  #listeners: (() => void)[] = []

  constructor(file: SpoolFile) {
    this.#file = file
  }

  /** Without a bound until the end is known. */
  get size(): number {
    return this.#hasEnded ? this.#available : Number.POSITIVE_INFINITY
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    await this.#waitFor(offset + length)
    const count = Math.max(0, Math.min(length, this.#available - offset))
    const bytes = (into ?? new Uint8Array(count)).subarray(0, count)
    await this.#file.readFully(bytes, offset)
    return bytes
  }

  /** So many bytes from the start are in the spool. */
  advance(bytes: number): void {
    this.#available = bytes
    this.#settle()
  }

  end(): void {
    this.#hasEnded = true
    this.#settle()
  }

  /** Ends every read with an error. */
  fail(error: unknown): void {
    this.#failure ??= { error }
    this.#settle()
  }

  /** Resolves when somebody waits for bytes that have not come. */
  starving(): Promise<void> {
    return new Promise((resolve) => {
      this.#listeners.push(resolve)
      this.#settle()
    })
  }

  #waitFor(bytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ bytes, resolve, reject })
      this.#settle()
    })
  }

  #settle(): void {
    const failure = this.#failure
    this.#waiting = this.#waiting.filter(({ bytes, resolve, reject }) => {
      if (failure !== undefined) reject(failure.error)
      else if (this.#hasEnded || bytes <= this.#available) resolve()
      else return true
      return false
    })
    if (this.#waiting.length > 0) for (const tell of this.#listeners.splice(0)) tell()
  }
}
