import { InvalidError, type Layout, MiB } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import { ImageFile } from '../image-file.ts'
import { GrowingFile, SpooledBytes } from '../stream/spool-file.ts'
import type { StreamDecoder, StreamDecoderOptions, StreamDecoderResult } from '../stream/stream-decoder.ts'
import { createBlockDisk } from './block-disk.ts'
import type { BlockMap } from './block-map.ts'
import { scanBlocks, refuseUsedTwice } from './scan-blocks.ts'

/** Parts that are copied out of the spool at once. */
const copiesAtOnce = 4

/**
 * Reads header and tables. Over a file that still comes, whose size is without a bound, it says nothing of the end;
 * it is called once more when the file is whole.
 *
 * @throws {DiskFormatError}
 */
export type OpenBlocks = (file: ImageFile) => Promise<BlockMap>

/**
 * Decodes a disk in blocks while its image comes: all is spooled until the tables are there, then blocks go straight
 * to their place. What came before is copied at the end, and so is everything where the tables come last.
 */
export async function openBlockStream(
  { format }: Layout,
  openBlocks: OpenBlocks,
  options: StreamDecoderOptions,
): Promise<StreamDecoder> {
  return new BlockStream(format, openBlocks, options, new SpooledBytes(options.spool))
}

class BlockStream implements StreamDecoder {
  readonly #format: string
  readonly #openBlocks: OpenBlocks
  readonly #options: StreamDecoderOptions
  readonly #spool: SpooledBytes
  readonly #growing: GrowingFile
  readonly #abort = new AbortController()
  readonly #signal: AbortSignal
  readonly #preparing: Promise<void>
  /** Absent until the tables are there, and where a disk is in too many parts. */
  #stored: StoredExtents | undefined
  #isPrepared = false
  /** The first extent that may still get bytes. */
  #cursor = 0
  /** All bytes before are in the spool. */
  #spooledBytes = 0
  /** Where the next write begins. */
  #nextOffset = 0
  #sizeBytes = 0
  #bytesWritten = 0
  /** Settles when all that was written so far has been decided on; and when it is in its place. */
  #decided: Promise<unknown> = Promise.resolve()
  #placed: Promise<unknown> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined
  #isClosed = false

  constructor(format: string, openBlocks: OpenBlocks, options: StreamDecoderOptions, spool: SpooledBytes) {
    this.#format = format
    this.#openBlocks = openBlocks
    this.#options = options
    this.#spool = spool
    this.#growing = new GrowingFile(spool)
    this.#signal = AbortSignal.any([options.signal, this.#abort.signal].filter((one) => one !== undefined))
    this.#preparing = this.#prepare()
    this.#preparing.catch((error: unknown) => this.#fail(error))
  }

  async #prepare(): Promise<void> {
    const map = await this.#openBlocks(new ImageFile(this.#growing, this.#format))
    this.#sizeBytes = map.sizeBytes
    await this.#options.onSize?.(map.sizeBytes)
    this.#stored = await StoredExtents.of(map, this.#signal)
    this.#isPrepared = true
  }

  write(chunk: Uint8Array, offset: number): Promise<void> {
    if (offset !== this.#nextOffset) {
      const reason = `The stream goes on at ${this.#nextOffset}, not at ${offset}.`
      return Promise.reject(new InvalidError({ reason }))
    }
    this.#nextOffset += chunk.length
    const decided = this.#decided.then(() => this.#decide(chunk, offset))
    this.#decided = decided.catch(() => undefined)
    return decided.then(({ placed }) => placed)
  }

  /** Decides where a chunk goes, in the order of the file. */
  async #decide(chunk: Uint8Array, offset: number): Promise<{ readonly placed: Promise<void> }> {
    this.#throwIfStopped()
    if (this.#stored === undefined) {
      await this.#spool.write(chunk, offset)
      this.#spooledBytes = offset + chunk.length
      this.#growing.advance(this.#spooledBytes)
      if (!this.#isPrepared) await Promise.race([this.#preparing, this.#growing.starving()])
      return { placed: Promise.resolve() }
    }
    const placed = this.#place(this.#stored, chunk, offset)
    this.#placed = Promise.allSettled([this.#placed, placed])
    return { placed }
  }

  /** Sends bytes to their places; what is no block's goes into the spool. */
  async #place(stored: StoredExtents, chunk: Uint8Array, offset: number): Promise<void> {
    const underWay: Promise<void>[] = []
    for (let done = 0; done < chunk.length;) {
      const at = offset + done
      while (stored.place(this.#cursor) + stored.length(this.#cursor) <= at) this.#cursor += 1
      const place = stored.place(this.#cursor)
      const isBlock = place <= at
      const end = isBlock ? place + stored.length(this.#cursor) : place
      const part = chunk.subarray(done, Math.min(chunk.length, end - offset))
      underWay.push(
        isBlock ? this.#write(part, stored.offset(this.#cursor) + at - place) : this.#spool.write(part, at),
      )
      done += part.length
    }
    // Whatever became of one: the chunk is lent to all of them.
    const outcomes = await Promise.allSettled(underWay)
    const rejected = outcomes.find((outcome) => outcome.status === 'rejected')
    if (rejected === undefined) return
    this.#fail(rejected.reason)
    throw rejected.reason
  }

  async #write(bytes: Uint8Array, offset: number): Promise<void> {
    await this.#options.target.write(bytes, offset)
    this.#bytesWritten += bytes.length
    const { onProgress } = this.#options
    onProgress?.({ stage: 'convert', completed: this.#bytesWritten, total: this.#sizeBytes, unit: 'bytes' })
  }

  async end(): Promise<StreamDecoderResult> {
    try {
      await this.#decided
      await this.#placed
      this.#throwIfStopped()
      this.#growing.advance(this.#nextOffset)
      this.#growing.end()
      await this.#preparing
      await this.#finish()
      this.#throwIfStopped()
      return { virtualSizeBytes: this.#sizeBytes, bytesWritten: this.#bytesWritten }
    } catch (error) {
      this.#fail(error)
      throw error
    } finally {
      await this.close()
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#fail(new Error('The decoding of a stream was given up.'))
    await Promise.allSettled([this.#decided, this.#preparing])
    await this.#placed
    await this.#spool[Symbol.asyncDispose]()
  }

  /** The file is whole: judges it again with its end, and fetches what came before its table. */
  async #finish(): Promise<void> {
    const file = new ImageFile(this.#growing, this.#format)
    const map = await this.#openBlocks(file)
    const { target, writeZeros } = this.#options
    const stored = this.#stored
    if (stored === undefined) {
      await createBlockDisk(file, map, this.#signal).copyTo({
        data: (offset, bytes) => this.#write(bytes, offset),
        zero: (offset, length) => (writeZeros === true ? target.zero(offset, length) : undefined),
      })
      return
    }
    for (let index = stored.count - 1; index >= 0; index -= 1) {
      const [place, length] = [stored.place(index), stored.length(index)]
      // A format may want its last block whole, however short the disk is.
      if (place + Math.ceil(length / map.blockBytes) * map.blockBytes <= this.#nextOffset) break
      const end = stored.offset(index) + length
      const missing = Math.max(0, Math.min(length, place + length - this.#nextOffset))
      await requireReadable(map, end - Math.max(1, missing), end)
      if (writeZeros === true && missing > 0) await target.zero(end - missing, missing)
    }
    await this.#copySpooled(stored)
    if (writeZeros !== true) return
    for await (const { offset, length, place } of scanBlocks(map, this.#signal)) {
      if (place < 0) await target.zero(offset, length)
    }
  }

  async #copySpooled(stored: StoredExtents): Promise<void> {
    const parts = partsBefore(stored, Math.min(this.#spooledBytes, this.#nextOffset))
    const copy = async (): Promise<void> => {
      let buffer: Uint8Array | undefined
      for (const { place, offset, length } of parts) {
        this.#throwIfStopped()
        buffer ??= allocateBuffer(MiB)
        const bytes = buffer.subarray(0, length)
        await this.#spool.readFully(bytes, place)
        await this.#write(bytes, offset)
      }
    }
    const outcomes = await Promise.allSettled(Array.from({ length: copiesAtOnce }, copy))
    const rejected = outcomes.find((outcome) => outcome.status === 'rejected')
    if (rejected !== undefined) throw rejected.reason
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#growing.fail(error)
    this.#abort.abort(error)
  }

  #throwIfStopped(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    this.#options.signal?.throwIfAborted()
  }
}

/** Lets the tables of a part of the disk be judged, now that the end of the file is known. */
async function requireReadable(map: BlockMap, from: number, end: number): Promise<void> {
  for (let block = Math.floor(from / map.blockBytes); block * map.blockBytes < end;) {
    const { first, count } = await map.load(block)
    block = first + count
  }
}

/** What of the extents lies before a byte of the file, in parts of a MiB. */
function* partsBefore(
  stored: StoredExtents,
  limit: number,
): Generator<{ readonly place: number; readonly offset: number; readonly length: number }> {
  for (let index = 0; stored.place(index) < limit; index += 1) {
    const place = stored.place(index)
    const length = Math.min(stored.length(index), limit - place)
    for (let done = 0; done < length; done += MiB) {
      yield { place: place + done, offset: stored.offset(index) + done, length: Math.min(MiB, length - done) }
    }
  }
}

/** Three numbers for each: 48 MiB. A disk in more parts than that waits until its file is whole. */
const mostExtents = 2 ** 21

/** What is stored of a disk, in the order of its file. */
class StoredExtents {
  readonly count: number
  /** Three for each: byte of the file, byte of the disk, length. */
  readonly #numbers: Float64Array

  private constructor(numbers: Float64Array) {
    this.#numbers = numbers
    this.count = numbers.length / 3
  }

  /**
   * Goes over all tables.
   *
   * @returns undefined where there are too many
   * @throws {DiskFormatError} where two of them overlap
   */
  static async of(map: BlockMap, signal: AbortSignal): Promise<StoredExtents | undefined> {
    let numbers = new Float64Array(3 * 1024)
    let count = 0
    let isSorted = true
    for await (const { offset, length, place } of scanBlocks(map, signal)) {
      if (place < 0) continue
      if (count === mostExtents) return undefined
      if (count * 3 === numbers.length) {
        const larger = new Float64Array(numbers.length * 2)
        larger.set(numbers)
        numbers = larger
      }
      isSorted &&= count === 0 || place > (numbers[count * 3 - 3] ?? 0)
      numbers.set([place, offset, length], count * 3)
      count += 1
    }
    numbers = numbers.subarray(0, count * 3)
    const extents = new StoredExtents(isSorted ? numbers : sortByPlace(numbers))
    extents.#requireApart(map.format)
    return extents
  }

  place(index: number): number {
    return this.#numbers[index * 3] ?? Number.POSITIVE_INFINITY
  }

  offset(index: number): number {
    return this.#numbers[index * 3 + 1] ?? 0
  }

  length(index: number): number {
    return this.#numbers[index * 3 + 2] ?? 0
  }

  /** Claims are compared only so far, and a stream gives its bytes once. */
  #requireApart(format: string): void {
    for (let index = 1; index < this.count; index += 1) {
      const before = this.place(index - 1) + this.length(index - 1)
      if (before > this.place(index)) refuseUsedTwice(format, this.place(index))
    }
  }
}

function sortByPlace(numbers: Float64Array): Float64Array {
  const order = Uint32Array.from({ length: numbers.length / 3 }, (_, index) => index)
  order.sort((a, b) => (numbers[a * 3] ?? 0) - (numbers[b * 3] ?? 0))
  const sorted = new Float64Array(numbers.length)
  for (const [index, from] of order.entries()) sorted.set(numbers.subarray(from * 3, from * 3 + 3), index * 3)
  return sorted
}
