import { ImageDownloadFailedError } from '@disk-image/core'
import type { ByteSink, OverlappedSink, ProgressListener } from '@disk-image/core'
import { sizeOf } from '../hashing/hash-plan.ts'
import type { HashPool } from '../hashing/hash-pool.ts'
import { ImageHashes, type ImageHashesOptions, type ImageHashesResult } from '../hashing/image-hashes.ts'
import { BufferPool, BufferShare } from '../memory/buffers.ts'

/** What a {@link Transfer} must be. */
export interface TransferOptions extends ImageHashesOptions {
  readonly onProgress?: ProgressListener | undefined
}

/** What the transfers of one client share. @default each has its own */
export interface TransferResources {
  readonly hashPool?: HashPool | undefined
  readonly buffers?: BufferPool | undefined
}

/** What went through a transfer. */
export interface TransferResult extends ImageHashesResult {
  /** Bytes handed to the sink. */
  readonly bytes: number
}

/**
 * Moves an image's bytes, in any portions, to a sink and to the hashes, which take them side by side while more
 * arrives; and says at the end whether they were the right ones. Close it, whatever the end.
 */
export class Transfer {
  readonly #options: TransferOptions
  readonly #total: number | undefined
  readonly #hashes: ImageHashes
  readonly #ownBuffers: BufferPool | undefined
  readonly #ring: Ring
  readonly #write: (bytes: Uint8Array, offset: number) => Promise<void>
  /** Where the sink's bytes begin, once there are any. */
  #sinkFrom: number | undefined
  #partial = false
  #doneBytes = 0

  /** @throws {ImageDownloadFailedError} where the image's record has nothing by which it could be verified as demanded */
  constructor(sink: ByteSink | OverlappedSink, options: TransferOptions, shared: TransferResources = {}) {
    this.#options = options
    this.#hashes = new ImageHashes(options, shared.hashPool)
    this.#total = sizeOf(options.image)
    const buffers = shared.buffers ?? (this.#ownBuffers = new BufferPool({ bufferBytes: 1024 * 1024 }))
    this.#ring = new Ring(new BufferShare(buffers), (bytes, offset, again) =>
      this.#consume(bytes, offset, again),
    )
    this.#write = positional(sink, () => {
      // What failed meanwhile keeps the rest from the sink.
      if (this.#ring.failed) return false
      this.#partial = true
      return true
    })
  }

  /** Bytes taken so far, with those read again. */
  get received(): number {
    return this.#ring.position
  }

  /** Whether bytes have been handed to the sink. */
  get partial(): boolean {
    return this.#partial
  }

  /**
   * Free memory for the next bytes: {@link push} a view of its start, and nothing is copied. Undefined where there is
   * none at the moment.
   */
  nextBuffer(): Uint8Array | undefined {
    return this.#ring.nextBuffer()
  }

  /**
   * Takes the next bytes. A promise means: wait before the next ones; until then these must stay as they are.
   *
   * @param again whether the sink has them already, so that they are only hashed
   * @throws what the sink threw; and where there are more bytes than the image has
   */
  push(bytes: Uint8Array, again = false): Promise<void> | undefined {
    this.#ring.throwIfFailed()
    const end = this.received + bytes.length
    if (this.#total !== undefined && end > this.#total) {
      const error = this.#wrong(`more data arrived than the image's ${this.#total} bytes.`)
      this.#ring.fail(error)
      throw error
    }
    if (!again) this.#sinkFrom ??= this.received
    if (this.received === 0) this.#hashes.begin()
    return this.#ring.push(bytes, again, end === this.#total)
  }

  /** Waits for sink and hashes and compares. @throws {ImageDownloadFailedError} where size or hash is wrong */
  async finish(): Promise<TransferResult> {
    await this.#ring.settle()
    this.#ring.throwIfFailed()
    const { received } = this
    if (this.#total !== undefined && received !== this.#total) {
      throw this.#wrong(`${received} bytes arrived, the image has ${this.#total}.`)
    }
    const hashes = await this.#hashes.finish((reason) => this.#wrong(reason))
    return { bytes: received - (this.#sinkFrom ?? received), ...hashes }
  }

  /** Waits for what is lent, frees everything. */
  async close(): Promise<void> {
    this.#ring.fail(new Error('The transfer is over'))
    // First those who hash: what they still hold is given back then, also by a thread that says nothing any more.
    await this.#hashes.close()
    await this.#ring.settle()
    this.#ring.close()
    this.#ownBuffers?.close()
  }

  async #consume(bytes: Uint8Array, offset: number, again: boolean): Promise<void> {
    const written = again ? undefined : this.#write(bytes, offset)
    try {
      await Promise.all([written, ...this.#hashes.update(bytes)])
    } catch (error) {
      this.#ring.fail(error)
      // Nobody may free what the sink still reads.
      await written?.catch(() => undefined)
      return
    }
    this.#doneBytes += bytes.length
    const { onProgress } = this.#options
    onProgress?.({ stage: 'download', completed: this.#doneBytes, total: this.#total, unit: 'bytes' })
  }

  #wrong(reason: string): ImageDownloadFailedError {
    const { id: imageId } = this.#options.image
    return new ImageDownloadFailedError({ imageId, reason, partial: this.#partial })
  }
}

/**
 * The one place where it matters whether a sink takes several parts at once: any other has one after the other.
 *
 * @param mayBegin asked before each write; one that may not is left out without an error
 */
function positional(
  sink: ByteSink | OverlappedSink,
  mayBegin: () => boolean,
): (bytes: Uint8Array, offset: number) => Promise<void> {
  if ('writeAt' in sink) {
    return async (bytes, offset) => {
      if (mayBegin()) await sink.writeAt(bytes, offset)
    }
  }
  let last: Promise<void> = Promise.resolve()
  return (bytes) => {
    // After one that fails none begins: all of them fail with it.
    last = last.then(() => (mayBegin() ? sink.write(bytes) : undefined))
    return last
  }
}

/**
 * Takes one buffer's bytes, which are lent until the promise settles.
 *
 * @param offset of the first byte in the whole
 * @param again whether the bytes were there before, and are read once more for the hash alone
 */
type Consumer = (bytes: Uint8Array, offset: number, again: boolean) => Promise<void>

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
