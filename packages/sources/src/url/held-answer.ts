import type { BodyTaker, DataAnswer, DataRequest, ResponseHead } from '@disk-image/http'

/** A server is not kept waiting for longer: then the download asks anew. */
const longestHoldMs = 15_000

/** Thrown into the answer that nobody wants any more. */
class DroppedError extends Error {}

/** An answer whose first bytes were looked at. The others stay where they are, until a download goes on with it. */
export class HeldAnswer {
  readonly #length: number
  readonly #abort = new AbortController()
  readonly #go = Promise.withResolvers<void>()
  readonly #enough = Promise.withResolvers<void>()
  readonly #answer: Promise<DataAnswer>
  readonly #timer: NodeJS.Timeout
  #parts: Uint8Array[] = []
  #bytes = 0
  #head: ResponseHead | undefined
  #taker: BodyTaker | undefined
  #state: 'waits' | 'taken' | 'over' = 'waits'

  /**
   * @param length bytes to look at
   * @param fetch sends the request for the whole; its `takeBody` is called for data only
   */
  constructor(length: number, fetch: (request: DataRequest) => Promise<DataAnswer>) {
    this.#length = length
    this.#timer = setTimeout(() => this.drop(), longestHoldMs).unref()
    this.#answer = fetch({
      signal: this.#abort.signal,
      takeBody: (head) => {
        this.#head = head
        return { take: (bytes) => this.#take(bytes), nextBuffer: () => this.#taker?.nextBuffer?.() }
      },
    })
    this.#answer
      .catch(() => {
        if (this.#state === 'waits') this.#state = 'over'
      })
      .finally(() => this.#enough.resolve())
  }

  /** Whether a download can go on with it. */
  get waits(): boolean {
    return this.#state === 'waits' && this.#head !== undefined
  }

  /** The first bytes; fewer where there are no more; undefined where the answer is none that could be gone on with. */
  async first(signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    const stop = (): void => this.drop()
    signal?.addEventListener('abort', stop, { once: true })
    try {
      signal?.throwIfAborted()
      await this.#enough.promise
      signal?.throwIfAborted()
      if (!this.waits) this.drop()
      else return Buffer.concat(this.#parts).subarray(0, this.#length)
      return undefined
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  /** What came is taken first, then what comes. Only once, and only where it waits. */
  async handOn({ signal, takeBody }: Omit<DataRequest, 'range'>): Promise<DataAnswer> {
    clearTimeout(this.#timer)
    this.#state = 'taken'
    const stop = (): void => this.#abort.abort(signal?.reason)
    signal?.addEventListener('abort', stop, { once: true })
    try {
      signal?.throwIfAborted()
      const taker = this.#head && takeBody(this.#head)
      const parts = this.#parts.splice(0)
      for (const part of parts) {
        signal?.throwIfAborted()
        await taker?.take(part)
      }
      this.#taker = taker
      this.#go.resolve()
      return await this.#answer
    } catch (error) {
      this.#abort.abort(error)
      throw error
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  /** Leaves what has not come. */
  drop(): void {
    clearTimeout(this.#timer)
    if (this.#state !== 'waits') return
    this.#state = 'over'
    this.#parts = []
    this.#abort.abort(new DroppedError())
  }

  #take(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#taker !== undefined) return this.#taker.take(bytes)
    // The memory is read into again.
    this.#parts.push(Uint8Array.from(bytes))
    this.#bytes += bytes.length
    if (this.#bytes < this.#length) return undefined
    this.#enough.resolve()
    return this.#go.promise
  }
}
