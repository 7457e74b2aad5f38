import { InvalidError } from '@disk-image/core'
import { unlessAborted } from '@disk-image/io'
import { shareWorkers, type WorkerShare } from '../stream/decode-workers.ts'
import { SpoolFile } from '../stream/spool-file.ts'
import type { StreamDecoder, StreamDecoderOptions, StreamFormat } from '../stream/stream-decoder.ts'
import { checkReadTables, checkRefcounts, createTableReader, type TableReader } from './check-tables.ts'
import { CompressedRanges, HostClusterMap } from './claims.ts'
import { DecodeStats, type Qcow2DecodeResult, StreamCursor } from './progress.ts'
import { ExtentReader } from './extent-reader.ts'
import type { GuestExtent } from './extents.ts'
import { ImageMap } from './image-map.ts'
import type { Qcow2Layout } from './layout.ts'
import { planQcow2, requireReadable } from './plan-qcow2.ts'
import { missingRanges, parseL1Table } from './tables.ts'

/** Options of {@link openQcow2Stream}. */
export interface Qcow2StreamOptions extends StreamDecoderOptions {
  /** How many of the stream's first bytes are in the spool already. @default 0 */
  readonly spooledBytes?: number | undefined
}

/** qcow2 as a format of streams. */
export const qcow2Stream: StreamFormat<Qcow2Layout> = { plan: planQcow2, open: openQcow2Stream }

/**
 * Decodes the active disk of a qcow2 image while it comes, once through: clusters whose table came before them, as
 * qemu-img and running machines write them, go straight to the target, and only the rest takes the way through the
 * spool. It checks what {@link decodeQcow2} checks, and needs as much memory.
 *
 * @throws {Qcow2DecodeError} for a layout that {@link planQcow2} does not support
 */
export async function openQcow2Stream(
  layout: Qcow2Layout,
  options: Qcow2StreamOptions,
): Promise<Qcow2StreamDecoder> {
  options.signal?.throwIfAborted()
  requireReadable(layout)
  const workers = shareWorkers(options.workers)
  return new Qcow2StreamDecoder(layout, options, workers, await SpoolFile.open(options.spool.file))
}

/**
 * The stream comes in by `write`, which decides in order where each byte goes. Beside it runs one loop over what is in
 * the spool: it opens the tables that did not come whole in time, and starts the extents whose bytes have come.
 */
export class Qcow2StreamDecoder implements StreamDecoder {
  readonly #layout: Qcow2Layout
  readonly #options: Qcow2StreamOptions
  readonly #file: SpoolFile
  readonly #workers: WorkerShare
  readonly #reader: ExtentReader
  readonly #claims: HostClusterMap
  readonly #stats: DecodeStats
  readonly #stop = new AbortController()
  readonly #underWay = new Set<Promise<void>>()
  readonly #decoding: Promise<Qcow2DecodeResult>
  /** Bytes of the image after which the L1 table can be read. */
  readonly #startsAt: number
  /** From when the L1 table is read. */
  #map: ImageMap | undefined
  readonly #cursor: StreamCursor
  /** Segments of chunks that are lent. */
  #lent = 0
  /** Settles when everything that was written so far has been decided. */
  #decided: Promise<unknown> = Promise.resolve()
  /** Whether nothing is decoded any more, for whatever reason. */
  #isOver = false

  constructor(layout: Qcow2Layout, options: Qcow2StreamOptions, workers: WorkerShare, file: SpoolFile) {
    this.#layout = layout
    this.#options = options
    this.#file = file
    this.#cursor = new StreamCursor(options.spooledBytes ?? 0)
    this.#startsAt = Number(layout.l1Offset) + layout.l1Entries * 8
    this.#workers = workers
    this.#claims = new HostClusterMap(layout.clusterSize)
    this.#reader = new ExtentReader(layout, file, this.#workers, new CompressedRanges())
    this.#stats = new DecodeStats(layout.sizeBytes, options.onProgress)
    this.#decoding = this.#run(options.signal)
    this.#decoding.catch(() => undefined)
  }

  write(chunk: Uint8Array, offset: number): Promise<void> {
    const decided = this.#decided.then(() => this.#decide(chunk, offset))
    this.#decided = decided.catch(() => undefined)
    return decided.then(({ placed }) => placed)
  }

  async end(): Promise<Qcow2DecodeResult> {
    await this.#decided
    this.#cursor.end()
    return this.#decoding
  }

  async close(): Promise<void> {
    this.#fail(new Error('The decoding of a qcow2 stream was given up.'))
    await Promise.allSettled([this.#decoding, this.#decided])
    await this.#cursor.until(() => this.#lent === 0)
  }

  /** Decides where a chunk's bytes go. @returns what settles when they are there */
  async #decide(chunk: Uint8Array, offset: number): Promise<{ readonly placed: Promise<void> }> {
    if (offset !== this.#cursor.position && !this.#isOver) {
      throw new InvalidError({ reason: `The stream goes on at ${this.#cursor.position}, not at ${offset}.` })
    }
    const segments: Promise<void>[] = []
    for (let at = 0; at < chunk.byteLength && !this.#isOver;) {
      await this.#until(() => !this.#isBehind)
      if (this.#stop.signal.aborted || this.#isOver) break
      const decidable = this.#map === undefined ? this.#startsAt - this.#cursor.position : Infinity
      const segment = chunk.subarray(at, at + decidable)
      segments.push(this.#place(segment))
      at += segment.byteLength
    }
    const placed = Promise.allSettled(segments).then(async () => {
      if (this.#stop.signal.aborted) await this.#decoding
    })
    if (this.#stop.signal.aborted) await placed
    return { placed }
  }

  /** Whether a table that lies before a place of the stream is not open yet, although it may be opened. */
  get #isBehind(): boolean {
    const map = this.#map
    if (map === undefined) return this.#cursor.position >= this.#startsAt
    return !map.isFull && map.tables.nextOffset + this.#layout.clusterSize <= this.#cursor.position
  }

  /** Sends bytes to their places. @returns what settles when they are there */
  async #place(bytes: Uint8Array): Promise<void> {
    const parts: Promise<void>[] = []
    this.#lent += 1
    try {
      for (let at = 0; at < bytes.byteLength;) at += this.#placePart(bytes.subarray(at), parts)
    } catch (error) {
      this.#fail(error)
    }
    const settle = this.#cursor.begin()
    // Whatever becomes of one: the chunk is lent to all of them.
    for (const outcome of await Promise.allSettled(parts)) {
      if (outcome.status === 'rejected') this.#fail(outcome.reason)
    }
    this.#lent -= 1
    if (!this.#stop.signal.aborted) settle()
    this.#cursor.notify()
  }

  /** Sends the first bytes where they belong. @returns how many */
  #placePart(bytes: Uint8Array, parts: Promise<void>[]): number {
    const position = this.#cursor.position
    const table = this.#map?.tables.nextFrom(position) ?? Infinity
    if (table === position && this.#openTable(bytes)) return this.#layout.clusterSize
    const first = this.#map?.pending.first
    let part: Uint8Array
    if (first?.hostOffset === position) {
      part = bytes.subarray(0, first.length)
      parts.push(this.#writeArrived(part, first.guestOffset))
      this.#map?.pending.consume(part.byteLength)
    } else {
      const boundary = Math.min(first?.hostOffset ?? Infinity, table > position ? table : Infinity)
      part = bytes.subarray(0, boundary - position)
      parts.push(this.#options.spool.write(part, position))
    }
    this.#cursor.position += part.byteLength
    return part.byteLength
  }

  /** Opens a table that has come whole, if there is room. Otherwise it goes into the spool, and is read later. */
  #openTable(bytes: Uint8Array): boolean {
    const map = this.#map
    const { clusterSize } = this.#layout
    const offset = this.#cursor.position
    if (map === undefined || map.isFull || bytes.byteLength < clusterSize) return false
    this.#cursor.position += clusterSize
    this.#claims.claim(offset, clusterSize)
    map.open(map.tables.openFrom(offset), offset, bytes.subarray(0, clusterSize), this.#cursor.position)
    return true
  }

  #writeArrived(bytes: Uint8Array, guestOffset: number): Promise<void> {
    return this.#follow(async () => {
      await this.#options.target.write(bytes, guestOffset)
      this.#stats.wrote(bytes.byteLength)
    })
  }

  async #run(signal: AbortSignal | undefined): Promise<Qcow2DecodeResult> {
    const onAbort = (): void => this.#fail(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    // It may have come while the file was being opened.
    if (signal?.aborted === true) onAbort()
    try {
      await this.#decode()
      await Promise.all(this.#underWay)
      this.#stop.signal.throwIfAborted()
      return this.#stats.result()
    } catch (error) {
      // The first failure counts: what follows from it is only its echo.
      this.#fail(error)
      throw this.#stop.signal.reason
    } finally {
      signal?.removeEventListener('abort', onAbort)
      // Whoever works for it reads its file, which may be another one's when this is over.
      await this.#workers.close()
      await Promise.allSettled(this.#underWay)
      this.#workers.buffers.close()
      await this.#file[Symbol.asyncDispose]()
      this.#isOver = true
      this.#cursor.notify()
    }
  }

  async #decode(): Promise<void> {
    const layout = this.#layout
    const claim = (offset: number, length: number): void => this.#claims.claim(offset, length)
    const reader = createTableReader(this.#file, (bytes) => this.#arrived(bytes))
    claim(0, layout.clusterSize)
    const l1Bytes = await reader.read(Number(layout.l1Offset), layout.l1Entries * 8, 'the L1 table', claim)
    const l1 = parseL1Table(l1Bytes, layout)
    const { writeZeros = false } = this.#options
    const map = new ImageMap(layout, l1, this.#claims, this.#stats, writeZeros)
    const missingBytes = this.#stats.countMissing(layout, map.tables.indices)
    if (!writeZeros) this.#stats.pass(missingBytes)
    this.#map = map
    this.#cursor.notify()
    await this.#decodeTables(map, reader)
    await this.#until(() => this.#cursor.isWhole || this.#cursor.spooledBytes > map.farthest)
    map.checkInside(this.#cursor.spooledBytes)
    await checkReadTables(layout, reader, claim)
    await checkRefcounts(layout, reader, claim)
    if (!writeZeros) return
    for (const [offset, length] of missingRanges(l1, layout)) await this.#zero(offset, length)
  }

  async #decodeTables(map: ImageMap, reader: TableReader): Promise<void> {
    const { clusterSize } = this.#layout
    for (;;) {
      this.#stop.signal.throwIfAborted()
      const table = map.tables.nextOffset
      const needsTable = map.isFull ? Infinity : table + clusterSize
      const needsExtent = map.waiting.first?.needsBytes ?? Infinity
      const needsBytes = Math.min(needsTable, needsExtent)
      // What the stream takes to its place makes room for a further table, and is the last to be waited for.
      const arrival = needsTable === Infinity ? map.pending.end : Infinity
      if (needsBytes === Infinity && arrival === Infinity) return
      const available = await this.#arrived(Math.min(needsBytes, arrival))
      if (this.#cursor.isWhole && available < Math.min(needsBytes, arrival)) map.checkInside(available)
      if (arrival < needsBytes) {
        if (available < arrival) await this.#giveUpPending(map)
      } else if (needsExtent <= Math.max(available, needsBytes)) {
        // Extents go first, so that few of them wait. At the file's end whatever needs least is due, wherever it lies.
        await this.#startNext(map, available)
      } else if (map.tables.nextOffset === table) {
        const bytes = await reader.read(table, clusterSize, 'an L2 table', (offset, length) =>
          this.#claims.claim(offset, length),
        )
        map.open(map.tables.openNext(), table, bytes, this.#cursor.position)
        this.#cursor.notify()
      }
    }
  }

  async #startNext(map: ImageMap, available: number): Promise<void> {
    const extent = map.waiting.pop()
    this.#cursor.notify()
    if (extent === undefined) return
    if (extent.parts.length === 0) {
      await this.#zero(extent.guestOffset, extent.length)
      return
    }
    const buffer = await unlessAborted(this.#workers.buffers.acquire(), this.#stop.signal)
    void this.#follow(async () => {
      try {
        await this.#copy(extent, available, buffer)
      } finally {
        this.#workers.buffers.release(buffer)
      }
    })
  }

  async #copy(extent: GuestExtent, available: number, buffer: Uint8Array): Promise<void> {
    this.#stop.signal.throwIfAborted()
    const bytes = await this.#reader.read(extent, available, buffer)
    this.#stop.signal.throwIfAborted()
    const missing = extent.length - bytes.byteLength
    if (bytes.byteLength > 0) await this.#options.target.write(bytes, extent.guestOffset)
    this.#stats.wrote(bytes.byteLength)
    if (missing > 0) await this.#zero(extent.guestOffset + bytes.byteLength, missing)
  }

  /** The file has ended: what has not come is zero, since its cluster began inside. */
  async #giveUpPending(map: ImageMap): Promise<void> {
    for (let rest = map.pending.take(); rest !== undefined; rest = map.pending.take()) {
      await this.#zero(rest.guestOffset, rest.length)
    }
  }

  /** Bytes of the disk that are zero: the target has them so, unless it is told. */
  async #zero(guestOffset: number, length: number): Promise<void> {
    this.#stop.signal.throwIfAborted()
    if (this.#options.writeZeros === true) await this.#options.target.zero(guestOffset, length)
    this.#stats.pass(length)
  }

  /** Counts a work as under way, so that no decoding ends before it. Never rejects: a failure stops them all. */
  #follow(work: () => Promise<void>): Promise<void> {
    const task = work()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => this.#underWay.delete(task))
    this.#underWay.add(task)
    return task
  }

  #fail(error: unknown): void {
    this.#stop.abort(error)
    this.#cursor.notify()
  }

  /** Waits for a condition, or for the decoding's end. */
  #until(condition: () => boolean): Promise<void> {
    return this.#cursor.until(() => condition() || this.#stop.signal.aborted || this.#isOver)
  }

  /**
   * Waits until so many bytes are in their places, or the image has ended. Throws what stopped the decoding.
   *
   * @returns how many are
   */
  async #arrived(bytes: number): Promise<number> {
    await this.#until(() => this.#cursor.spooledBytes >= bytes || this.#cursor.isWhole)
    this.#stop.signal.throwIfAborted()
    return this.#cursor.spooledBytes
  }
}
