/** The types of Node.js don't have it. */
declare const WebAssembly: {
  readonly Memory: new (options: { initial: number; maximum: number; shared: boolean }) => PageMemory
}

/** A WebAssembly memory for several threads, to which it can be sent. It begins at a page. */
export interface PageMemory {
  readonly buffer: SharedArrayBuffer
}

/**
 * Where in an `ArrayBuffer` the bytes of {@link allocateBuffer} begin.
 *
 * A large buffer has pages of its own, in which the allocator keeps the first 16 bytes for itself. What the kernel
 * copies there from the start of a page, as from a file's cache, lies nearly at the same place of its page, and
 * with `rep movsb` some processors take five times as long for that: 2.6 GB/s instead of 13 on AMD's Zen 3.
 *
 * @see https://sourceware.org/bugzilla/show_bug.cgi?id=30994 for the processors
 * @see https://github.com/apache/opendal/issues/3665 for the effect on reading files
 */
export const bufferOffset = 64

/** Memory of so many bytes, all zero, that files and sockets are read into at full speed. */
export function allocateBuffer(bytes: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(bufferOffset + bytes), bufferOffset)
}

/** The same, for several threads. */
export function allocateSharedBuffer(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(bufferOffset + bytes), bufferOffset)
}

/** Bytes of a page. Direct I/O wants memory, offsets and lengths to be multiples of it, or of less. */
export const pageBytes = 4096

const wasmPageBytes = 65_536
/** Where memory lies in the process can't be seen from here, so what is known to lie well is remembered. */
const aligned = new WeakSet<ArrayBufferLike>()

/**
 * Pieces of memory for several threads, all zero, each of so many bytes and at the start of a page: they can be
 * written with O_DIRECT. Where there is no such memory, as without WebAssembly, they are as good as any other.
 *
 * A WebAssembly memory begins at a page, as nothing else in JavaScript is sure to. Each reserves some GiB of
 * addresses, which are no memory, but not endless: so one has many pieces. It is freed when all of them are.
 */
export function allocatePagePieces(count: number, bytes: number): Uint8Array[] {
  const step = Math.ceil(bytes / pageBytes) * pageBytes
  const block = allocateBlock(count * step)
  return Array.from({ length: count }, (_, index) => block.subarray(index * step, index * step + bytes))
}

/** Whether bytes are known to begin at a page: those of {@link allocatePagePieces}, and parts of them. */
export function isPageAligned(bytes: Uint8Array): boolean {
  return bytes.byteOffset % pageBytes === 0 && aligned.has(bytes.buffer)
}

function allocateBlock(bytes: number): Uint8Array {
  try {
    return new Uint8Array(allocatePageMemory(bytes).buffer)
  } catch {
    return allocateSharedBuffer(bytes)
  }
}

/**
 * Memory of so many bytes or more, all zero, that a WebAssembly program can work on.
 *
 * @throws {Error} without WebAssembly, or where there are no addresses left
 */
export function allocatePageMemory(bytes: number): PageMemory {
  const pages = Math.ceil(bytes / wasmPageBytes)
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  aligned.add(memory.buffer)
  return memory
}

/** Free memory that nobody asks for is kept so long. */
const idleMs = 2000

/** Measures of a {@link BufferPool}. */
export interface BufferPoolOptions {
  /** Bytes of each buffer. */
  readonly bufferBytes: number
  /** Buffers for which {@link BufferPool.free} holds; who must have one can have one all the same. @default 24 */
  readonly most?: number | undefined
  /** Allocated together. What is never used takes no memory. @default 8 */
  readonly perBlock?: number | undefined
}

/**
 * Equal buffers of shared memory, each at the start of a page, so that a disk can take them as they are. What one user
 * has done with serves the next: allocating is expensive, a MiB of it can cost more than its hash. Memory is freed a
 * while after the last buffer came back.
 */
export class BufferPool {
  readonly bufferBytes: number
  readonly #most: number
  readonly #perBlock: number
  #idle: Uint8Array[] = []
  #taken = 0
  #closed = false
  #timer: NodeJS.Timeout | undefined

  constructor({ bufferBytes, most = 24, perBlock = 8 }: BufferPoolOptions) {
    this.bufferBytes = bufferBytes
    this.#most = most
    this.#perBlock = perBlock
  }

  /** Buffers that may still be acquired. */
  get free(): number {
    return Math.max(0, this.#most - this.#taken)
  }

  acquire(): Uint8Array {
    clearTimeout(this.#timer)
    this.#taken += 1
    if (this.#idle.length === 0) this.#idle = allocatePagePieces(this.#perBlock, this.bufferBytes)
    // The latest one: its memory is most likely still in the processor's cache.
    return this.#idle.pop() as Uint8Array
  }

  /** Takes a buffer back that nobody uses any more. */
  release(buffer: Uint8Array): void {
    this.#idle.push(buffer)
    this.discard(1)
  }

  /** Forgets buffers that somebody may still use. */
  discard(count: number): void {
    this.#taken -= count
    if (this.#taken > 0) return
    clearTimeout(this.#timer)
    if (this.#closed) this.#idle = []
    else this.#timer = setTimeout(() => (this.#idle = []), idleMs).unref()
  }

  /** Keeps nothing that comes back from now on. */
  close(): void {
    this.#closed = true
    this.discard(0)
  }
}

/** How many buffers one user of a pool has. */
export interface BufferShareOptions {
  /** So many it can always have, whatever others do. @default 4: one to fill, others for a sink and hashes */
  readonly least?: number | undefined
  /** No more, even where it is alone: its memory does not depend on how much passes. @default 8 */
  readonly most?: number | undefined
}

/** The buffers of one user of a pool. They are what bounds the bytes that it has under way. */
export class BufferShare {
  readonly #pool: BufferPool
  readonly #least: number
  readonly #most: number
  readonly #waiting: ((buffer: Uint8Array) => void)[] = []
  #held = 0

  constructor(pool: BufferPool, { least = 4, most = 8 }: BufferShareOptions = {}) {
    this.#pool = pool
    this.#least = least
    this.#most = most
  }

  get bufferBytes(): number {
    return this.#pool.bufferBytes
  }

  /** Buffers that could be acquired at the moment. */
  get free(): number {
    return Math.min(this.#most - this.#held, Math.max(this.#pool.free, this.#least - this.#held))
  }

  /** A free buffer, or undefined where there is none: then some are in use, and one of them will be free again. */
  tryAcquire(): Uint8Array | undefined {
    return this.free > 0 ? this.#take() : undefined
  }

  /** Waits for one. */
  acquire(): Promise<Uint8Array> {
    if (this.free > 0) return Promise.resolve(this.#take())
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  release(buffer: Uint8Array): void {
    this.#held -= 1
    this.#pool.release(buffer)
    const next = this.#waiting.shift()
    if (next !== undefined) next(this.#take())
  }

  /** Gives up what is still in use. */
  close(): void {
    this.#pool.discard(this.#held)
    this.#held = 0
  }

  #take(): Uint8Array {
    this.#held += 1
    return this.#pool.acquire()
  }
}
