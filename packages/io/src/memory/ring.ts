import type { BufferShare } from './buffer-pool.ts'

/**
 * Takes one buffer's bytes, which are lent until the promise settles.
 *
 * @param offset of the first byte in the whole
 * @param again whether the bytes were there before, and are read once more for the hash alone
 */
export type Consumer = (bytes: Uint8Array, offset: number, again: boolean) => Promise<void>

/** A buffer that is being filled. */
interface Filling {
  readonly memory: Uint8Array
  readonly offset: number
  readonly again: boolean
  used: number
}

/**
 * Bytes go in at one end, in any portions; whoever consumes them has a buffer of them at a time, while the next one is
 * filled. The buffers are the only bound on what is under way, and the position in the whole is counted here alone.
 */
export class Ring {
  readonly #buffers: BufferShare
  readonly #consume: Consumer
  readonly #lent = new Set<Promise<void>>()
  #filling: Filling | undefined
  /** For the next bytes: nothing of it is filled. */
  #next: Uint8Array | undefined
  #position = 0
  #failure: { readonly error: unknown } | undefined
  #wake: (() => void) | undefined

  constructor(buffers: BufferShare, consume: Consumer) {
    this.#buffers = buffers
    this.#consume = consume
  }

  /** Bytes taken so far, with those that were read again. */
  get position(): number {
    return this.#position
  }

  get failed(): boolean {
    return this.#failure !== undefined
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** From now on every call throws it; buffers that are with somebody are not used again. */
  fail(error: unknown): void {
    this.#failure ??= { error }
    this.#wake?.()
  }

  /**
   * Free memory for the next bytes: {@link push} a view of its start, and nothing is copied. Undefined where there is
   * none at the moment.
   */
  nextBuffer(): Uint8Array | undefined {
    const filling = this.#filling
    if (filling === undefined) return (this.#next ??= this.#buffers.tryAcquire())
    return filling.again ? undefined : filling.memory.subarray(filling.used)
  }

  /**
   * Takes the bytes: copies them, unless they are where {@link nextBuffer} wanted them. A promise means that the ring is
   * full: wait before the next bytes, which then have a buffer of their own.
   *
   * @param last whether nothing will follow, so that there is nothing to wait for
   * @throws what failed
   */
  push(bytes: Uint8Array, again = false, last = false): Promise<void> | undefined {
    this.throwIfFailed()
    const offset = this.#position
    this.#position += bytes.length
    const copied = this.#copy(bytes, 0, offset, again)
    if (copied < bytes.length) return this.#copyRest(bytes, copied, offset, again)
    if (last) return undefined
    if (this.#filling === undefined) this.#next ??= this.#buffers.tryAcquire()
    return this.#buffers.free === 0 ? this.#waitForSpare() : undefined
  }

  /** Lends bytes that stay where they are, behind those that were pushed. Resolves when nobody uses them any more. */
  async lend(bytes: Uint8Array): Promise<void> {
    this.throwIfFailed()
    this.#flush()
    const offset = this.#position
    this.#position += bytes.length
    await this.#consume(bytes, offset, false)
    this.throwIfFailed()
  }

  /** Hands over what is filled in part, and waits until nobody has a buffer any more. Never rejects. */
  async settle(): Promise<void> {
    if (this.#failure === undefined) {
      this.#flush()
      if (this.#next !== undefined) this.#buffers.release(this.#next)
      this.#next = undefined
    }
    while (this.#lent.size > 0) await Promise.all(this.#lent)
  }

  /** Gives up what is not back: whoever was to fill or to read it may still do so. */
  close(): void {
    this.#buffers.close()
  }

  /** Fills buffers as long as there are free ones. @returns how many of the bytes are taken */
  #copy(bytes: Uint8Array, from: number, start: number, again: boolean): number {
    let taken = from
    while (taken < bytes.length) {
      if (this.#filling?.again === !again) this.#flush()
      const filling = (this.#filling ??= this.#begin(start + taken, again))
      if (filling === undefined) break
      const length = Math.min(bytes.length - taken, this.#buffers.bufferBytes - filling.used)
      const part = length === bytes.length ? bytes : bytes.subarray(taken, taken + length)
      if (!isAt(part, filling)) filling.memory.set(part, filling.used)
      filling.used += length
      taken += length
      if (filling.used === this.#buffers.bufferBytes) this.#flush()
    }
    return taken
  }

  async #copyRest(bytes: Uint8Array, from: number, start: number, again: boolean): Promise<void> {
    for (let taken = from; taken < bytes.length;) {
      await this.#waitForBuffer()
      taken = this.#copy(bytes, taken, start, again)
    }
  }

  #begin(offset: number, again: boolean): Filling | undefined {
    const memory = this.#next ?? this.#buffers.tryAcquire()
    this.#next = undefined
    return memory === undefined ? undefined : { memory, offset, again, used: 0 }
  }

  #flush(): void {
    const full = this.#filling
    this.#filling = undefined
    if (full === undefined) return
    const done: Promise<void> = this.#give(full).finally(() => {
      this.#lent.delete(done)
      this.#wake?.()
    })
    this.#lent.add(done)
  }

  async #give({ memory, offset, again, used }: Filling): Promise<void> {
    try {
      await this.#consume(memory.subarray(0, used), offset, again)
      // After a failure buffers may still be with others: none is used again.
      if (this.#failure === undefined) this.#buffers.release(memory)
    } catch (error) {
      this.fail(error)
    }
  }

  async #waitForRelease(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = undefined
    this.throwIfFailed()
  }

  async #waitForBuffer(): Promise<void> {
    this.throwIfFailed()
    if (this.#filling !== undefined) return
    while ((this.#next ??= this.#buffers.tryAcquire()) === undefined) await this.#waitForRelease()
  }

  /** Stops the writer one buffer before the last. */
  async #waitForSpare(): Promise<void> {
    await this.#waitForBuffer()
    while (this.#buffers.free === 0 && this.#lent.size > 0) await this.#waitForRelease()
  }
}

/** Whether bytes are in a buffer already, behind those that it has. */
function isAt(bytes: Uint8Array, { memory, used }: Filling): boolean {
  return bytes.buffer === memory.buffer && bytes.byteOffset === memory.byteOffset + used
}
