import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { InvalidError, MiB, type RandomAccessReader } from '@disk-image/core'
import { readFully } from '@disk-image/io'
import { DiskChangedError } from '../errors.ts'
import type { Spool } from './stream-decoder.ts'

/** The file of a spool, or a whole image, read at any place from any thread. */
export class SpoolFile implements AsyncDisposable {
  readonly #handle: FileHandle
  readonly #owned: boolean

  private constructor(handle: FileHandle, owned: boolean) {
    this.#handle = handle
    this.#owned = owned
  }

  /** A handle stays open afterwards; a path is opened and closed here. */
  static async open(source: string | FileHandle): Promise<SpoolFile> {
    return typeof source === 'string'
      ? // A pipe would keep a plain open waiting for ever.
        new SpoolFile(await open(source, constants.O_RDONLY | constants.O_NONBLOCK), true)
      : new SpoolFile(source, false)
  }

  get descriptor(): number {
    return this.#handle.fd
  }

  /** @throws {InvalidError} where it is no regular file, whose size could be something else */
  async sizeBytes(): Promise<number> {
    const stat = await this.#handle.stat()
    if (!stat.isFile()) {
      throw new InvalidError({ reason: 'An image that is no regular file has no size.' })
    }
    return stat.size
  }

  /** Fills memory with bytes that were all written before. */
  async readFully(bytes: Uint8Array, offset: number): Promise<void> {
    const read = await readFully(this.#handle, bytes, offset)
    if (read < bytes.byteLength) throw new DiskChangedError('its file became shorter', offset)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#owned) await this.#handle.close()
  }
}

/** As a rule header and tables are all that waits. */
export const spoolMemoryBytes: number = 4 * MiB

/** A spool that takes the bytes of a stream in their order, and reads what it took. */
export class SpooledBytes implements AsyncDisposable {
  readonly #spool: Spool
  /** Opened when it is read first: what fits into memory makes none. */
  #file: Promise<SpoolFile> | undefined
  readonly #kept: { readonly offset: number; readonly bytes: Uint8Array }[] = []
  #keptBytes = 0
  /** Bytes from here on are in the file. */
  #fileStart = 0
  #isFull = false

  constructor(spool: Spool) {
    this.#spool = spool
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    const { memoryBytes = spoolMemoryBytes } = this.#spool
    this.#isFull ||= this.#keptBytes + bytes.length > memoryBytes
    if (this.#isFull) return this.#spool.write(bytes, offset)
    this.#kept.push({ offset, bytes: Uint8Array.from(bytes) })
    this.#keptBytes += bytes.length
    this.#fileStart = offset + bytes.length
  }

  /** Fills memory with bytes that were all written before. */
  async readFully(bytes: Uint8Array, offset: number): Promise<void> {
    const end = Math.min(offset + bytes.length, this.#fileStart)
    let at = offset
    for (let index = this.#find(offset); at < end; index += 1) {
      const kept = this.#kept[index]
      // What nobody spooled reads as zero, as it does of the file.
      const start = Math.min(end, Math.max(at, kept?.offset ?? end))
      bytes.fill(0, at - offset, start - offset)
      const part =
        kept?.bytes.subarray(start - kept.offset, Math.max(start, end) - kept.offset) ?? new Uint8Array(0)
      bytes.set(part, start - offset)
      at = start + part.length
    }
    if (at >= offset + bytes.length) return
    this.#file ??= SpoolFile.open(this.#spool.file)
    await (await this.#file).readFully(bytes.subarray(at - offset), at)
  }

  /** The first kept part that ends behind an offset. */
  #find(offset: number): number {
    let [low, high] = [0, this.#kept.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const { offset: start = 0, bytes } = this.#kept[middle] ?? {}
      if (start + (bytes?.length ?? 0) > offset) high = middle
      else low = middle + 1
    }
    return low
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const file = await this.#file?.catch(() => undefined)
    await file?.[Symbol.asyncDispose]()
  }
}

const mostRanges = 2 ** 18

/** Which bytes of an image are in the spool, added in the order of the image. */
export class SpooledRanges {
  readonly #starts: number[] = []
  readonly #ends: number[] = []

  /** Whether a range that is no neighbour of the last one can be added. */
  get hasRoom(): boolean {
    return this.#starts.length < mostRanges
  }

  add(offset: number, length: number): void {
    const last = this.#ends.length - 1
    if (last >= 0 && this.#ends[last] === offset) this.#ends[last] = offset + length
    else {
      this.#starts.push(offset)
      this.#ends.push(offset + length)
    }
  }

  /** The image as far as it is spooled; `refuse` ends a read of anything else. */
  readerOf(spool: SpooledBytes, sizeBytes: number, refuse: (offset: number) => never): RandomAccessReader {
    return {
      size: sizeBytes,
      read: async (offset, length, into) => {
        const count = Math.max(0, Math.min(length, sizeBytes - offset))
        const bytes = (into ?? new Uint8Array(count)).subarray(0, count)
        if (count > 0 && !this.#has(offset, offset + count)) refuse(offset)
        await spool.readFully(bytes, offset)
        return bytes
      },
    }
  }

  #has(start: number, end: number): boolean {
    let [low, high] = [0, this.#starts.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#starts[middle] ?? 0) <= start) low = middle + 1
      else high = middle
    }
    return low > 0 && end <= (this.#ends[low - 1] ?? 0)
  }
}

interface Waiter {
  readonly bytes: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** A spooled image that still comes, from its start to its end: a read waits until its bytes are there. */
export class GrowingFile implements RandomAccessReader {
  readonly #spool: SpooledBytes
  #available = 0
  #hasEnded = false
  #failure: { readonly error: unknown } | undefined
  #waiting: Waiter[] = []
  #listeners: (() => void)[] = []

  constructor(spool: SpooledBytes) {
    this.#spool = spool
  }

  /** Without a bound until the end is known. */
  get size(): number {
    return this.#hasEnded ? this.#available : Number.POSITIVE_INFINITY
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    await this.#waitFor(offset + length)
    const count = Math.max(0, Math.min(length, this.#available - offset))
    const bytes = (into ?? new Uint8Array(count)).subarray(0, count)
    await this.#spool.readFully(bytes, offset)
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
