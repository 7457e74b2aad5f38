import { allocatePagePieces } from '@disk-image/io'

/** Allocated together. What is never used takes no memory. */
const buffersPerBlock = 4

/**
 * Equal buffers of shared memory for all decodings that share it, each at the start of a page. What one has done with
 * serves the next: new memory is dear.
 */
export class BufferPool {
  readonly #size: number
  readonly #most: number
  #free: Uint8Array[] = []
  #taken = 0

  /** @param most buffers for which {@link hasRoom} holds */
  constructor(most: number, sizeBytes: number) {
    this.#most = most
    this.#size = sizeBytes
  }

  get hasRoom(): boolean {
    return this.#taken < this.#most
  }

  take(): Uint8Array {
    this.#taken += 1
    if (this.#free.length === 0) this.#free = allocatePagePieces(buffersPerBlock, this.#size)
    return this.#free.pop() as Uint8Array
  }

  /** Takes a buffer back that no thread uses any more. */
  give(buffer: Uint8Array): void {
    this.#taken -= 1
    this.#free.push(buffer)
  }

  /** Forgets buffers that will not come back. */
  lose(count: number): void {
    this.#taken -= count
  }

  /** Frees the memory that nobody uses. */
  clear(): void {
    this.#free = []
  }
}

/** The buffers of one decoding; whoever finds none waits. It is what bounds the bytes in flight. */
export class BufferShare {
  readonly #pool: BufferPool
  readonly #least: number
  readonly #most: number
  readonly #waiting: ((buffer: Uint8Array) => void)[] = []
  #held = 0

  /**
   * @param least so many it can always have, whatever others do
   * @param most no more, even where it is alone
   */
  constructor(pool: BufferPool, least: number, most: number) {
    this.#pool = pool
    this.#least = least
    this.#most = most
  }

  acquire(): Promise<Uint8Array> {
    const may = this.#held < this.#least || (this.#held < this.#most && this.#pool.hasRoom)
    if (may) return Promise.resolve(this.#take())
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  release(buffer: Uint8Array): void {
    this.#held -= 1
    this.#pool.give(buffer)
    const next = this.#waiting.shift()
    if (next !== undefined) next(this.#take())
  }

  /** Gives up what did not come back. */
  close(): void {
    this.#pool.lose(this.#held)
    this.#held = 0
  }

  #take(): Uint8Array {
    this.#held += 1
    return this.#pool.take()
  }
}
