import { InvalidError } from '@disk-image/core'
import { createBlockDisk } from '../blocks/block-disk.ts'
import { refuseUsedTwice, scanBlocks } from '../blocks/scan-blocks.ts'
import { DiskFormatError, refuse } from '../errors.ts'
import { ImageFile } from '../image-file.ts'
import { viewOf } from '../layouts/fields.ts'
import { shareWorkers } from '../stream/decode-workers.ts'
import { SpooledBytes, SpooledRanges } from '../stream/spool-file.ts'
import type { StreamDecoder, StreamDecoderOptions, StreamDecoderResult } from '../stream/stream-decoder.ts'
import type { OpenBlocks } from '../blocks/block-stream.ts'
import { GrainBatches } from './grain-batches.ts'
import { GrainPlaces } from './grain-places.ts'
import { createGrainReader } from './vmdk-grains.ts'
import type { VmdkLayout } from './vmdk-layout.ts'

const sector = 512
const grainMarkerBytes = 12
const markerBytes = 16
const knownMarkers: ReadonlySet<number> = new Set([1, 2, 3])

/**
 * Decodes a streamOptimized VMDK while it comes: each grain's marker says whose it is, so it is inflated in a thread
 * and written as it arrives. Header, tables and footer are spooled, and at the end must say the same as what was read.
 * From where markers make no sense on, all is spooled, and read by the tables.
 */
export async function openGrainStream(
  layout: VmdkLayout,
  openBlocks: OpenBlocks,
  options: StreamDecoderOptions,
): Promise<StreamDecoder> {
  return new GrainStream(layout, openBlocks, options, new SpooledBytes(options.spool))
}

class GrainStream implements StreamDecoder {
  readonly #layout: VmdkLayout
  readonly #openBlocks: OpenBlocks
  readonly #options: StreamDecoderOptions
  readonly #spool: SpooledBytes
  readonly #spooled = new SpooledRanges()
  readonly #places: GrainPlaces
  readonly #batches: GrainBatches
  readonly #abort = new AbortController()
  /** Up to here bytes are spooled; then comes a marker. */
  #spoolUntil: number
  readonly #marker = new Uint8Array(markerBytes)
  #markerFilled = 0
  /** Of the grain's record that has begun: bytes of its data, and of what fills up its last sector. */
  #dataLeft = 0
  #fillLeft = 0
  #nextOffset = 0
  #decided: Promise<unknown> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined
  #isClosed = false

  constructor(
    layout: VmdkLayout,
    openBlocks: OpenBlocks,
    options: StreamDecoderOptions,
    spool: SpooledBytes,
  ) {
    const { header, grainBytes, sizeBytes, metadataEnd } = layout
    this.#layout = layout
    this.#openBlocks = openBlocks
    this.#options = options
    this.#spool = spool
    const overhead = Number(header.overhead) * sector
    this.#spoolUntil = overhead < metadataEnd ? Number.POSITIVE_INFINITY : overhead
    this.#places = new GrainPlaces(Math.ceil(sizeBytes / grainBytes))
    this.#batches = new GrainBatches(layout, shareWorkers(options.workers), options)
  }

  write(chunk: Uint8Array, offset: number): Promise<void> {
    if (offset !== this.#nextOffset) {
      const reason = `The stream goes on at ${this.#nextOffset}, not at ${offset}.`
      return Promise.reject(new InvalidError({ reason }))
    }
    this.#nextOffset += chunk.length
    const decided = this.#decided.then(() => this.#take(chunk, offset))
    this.#decided = decided.catch((error: unknown) => this.#fail(error))
    return decided
  }

  async #take(chunk: Uint8Array, offset: number): Promise<void> {
    const spooling: Promise<void>[] = []
    try {
      for (let at = 0; at < chunk.length;) {
        this.#throwIfStopped()
        at += await this.#takePart(chunk.subarray(at), offset + at, spooling)
      }
    } finally {
      // The chunk is lent to all of them.
      await Promise.allSettled(spooling)
    }
    await Promise.all(spooling)
  }

  /** @returns how many of the bytes it has taken */
  async #takePart(bytes: Uint8Array, at: number, spooling: Promise<void>[]): Promise<number> {
    if (this.#dataLeft > 0) {
      const part = bytes.subarray(0, this.#dataLeft)
      this.#batches.add(part)
      this.#dataLeft -= part.length
      return part.length
    }
    if (this.#fillLeft > 0) {
      const length = Math.min(bytes.length, this.#fillLeft)
      this.#fillLeft -= length
      return length
    }
    if (at < this.#spoolUntil) {
      const part = bytes.subarray(0, this.#spoolUntil - at)
      spooling.push(this.#toSpool(part, at))
      return part.length
    }
    return this.#takeMarker(bytes, at, spooling)
  }

  async #takeMarker(bytes: Uint8Array, at: number, spooling: Promise<void>[]): Promise<number> {
    const marker = viewOf(this.#marker)
    const wanted = (): number =>
      this.#markerFilled >= grainMarkerBytes && marker.getUint32(8, true) === 0
        ? markerBytes
        : grainMarkerBytes
    let taken = 0
    while (taken < bytes.length && this.#markerFilled < wanted()) {
      this.#marker[this.#markerFilled] = bytes[taken] ?? 0
      this.#markerFilled += 1
      taken += 1
    }
    if (this.#markerFilled < wanted()) return taken
    const place = at + taken - this.#markerFilled
    const first = marker.getBigUint64(0, true)
    const length = marker.getUint32(8, true)
    const kept = this.#marker.slice(0, this.#markerFilled)
    this.#markerFilled = 0
    if (length > 0 && (await this.#beginGrain(first, length, place))) return taken
    spooling.push(this.#toSpool(kept, place))
    const isKnown = length === 0 && knownMarkers.has(marker.getUint32(12, true)) && first < 2n ** 32n
    this.#spoolUntil =
      isKnown && this.#spooled.hasRoom ? place + sector + Number(first) * sector : Number.POSITIVE_INFINITY
    return taken
  }

  /** @returns whether there is a grain; where there is none, the rest of the file is read by its tables */
  async #beginGrain(first: bigint, length: number, place: number): Promise<boolean> {
    const { grainBytes, sizeBytes } = this.#layout
    const offset = Number(first) * sector
    const isGrain = offset < sizeBytes && offset % grainBytes === 0 && length <= 2 * grainBytes
    if (!isGrain || !this.#places.hasRoom(offset / grainBytes) || place / sector >= 2 ** 32) return false
    if (!this.#places.set(offset / grainBytes, place / sector)) refuseUsedTwice('vmdk', place)
    await this.#batches.begin({ offset, length, place })
    this.#dataLeft = length
    this.#fillLeft = (sector - ((grainMarkerBytes + length) % sector)) % sector
    return true
  }

  async #toSpool(bytes: Uint8Array, offset: number): Promise<void> {
    this.#spooled.add(offset, bytes.length)
    await this.#spool.write(bytes, offset)
  }

  async end(): Promise<StreamDecoderResult> {
    try {
      await this.#decided
      this.#throwIfStopped()
      const kept = this.#marker.slice(0, this.#markerFilled)
      if (kept.length > 0) await this.#toSpool(kept, this.#nextOffset - kept.length)
      if (this.#dataLeft > 0) {
        refuse('vmdk-truncated', 'a grain is cut off by the end of the file', { offset: this.#nextOffset })
      }
      await this.#batches.end()
      const spooledBytes = await this.#compareWithTables()
      this.#throwIfStopped()
      return {
        virtualSizeBytes: this.#layout.sizeBytes,
        bytesWritten: this.#batches.bytesWritten + spooledBytes,
      }
    } catch (error) {
      this.#fail(error)
      throw error
    } finally {
      await this.close()
    }
  }

  /**
   * What the tables say must be what the markers said. Grains that no marker was read of are read out of the spool.
   *
   * @returns their bytes
   */
  async #compareWithTables(): Promise<number> {
    const { sizeBytes, grainBytes } = this.#layout
    const { target, writeZeros } = this.#options
    const reader = this.#spooled.readerOf(this.#spool, this.#nextOffset, (offset) =>
      refuseUsedTwice('vmdk', offset),
    )
    const file = new ImageFile(reader, 'vmdk')
    const map = await this.#openBlocks(file)
    const disk = createBlockDisk(file, map, this.#abort.signal, createGrainReader(file, this.#layout))
    let matched = 0
    let bytesWritten = 0
    for await (const { offset, length, place } of scanBlocks(map, this.#abort.signal)) {
      this.#throwIfStopped()
      if (place < 0) {
        if (writeZeros === true) await target.zero(offset, length)
        continue
      }
      const said = this.#places.get(offset / grainBytes)
      if (said * sector === place) {
        matched += 1
        continue
      }
      if (said !== 0) contradicts(place, `sector ${said}`)
      await target.write(await disk.read(offset, length), offset)
      bytesWritten += length
    }
    if (matched !== this.#places.count)
      contradicts(0, `${this.#places.count} grains, ${matched} of them in tables`)
    if (map.sizeBytes !== sizeBytes) contradicts(0, `a disk of ${map.sizeBytes} bytes`)
    return bytesWritten
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#fail(new Error('The decoding of a stream was given up.'))
    await this.#decided
    await this.#batches.close()
    await this.#spool[Symbol.asyncDispose]()
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#abort.abort(error)
  }

  #throwIfStopped(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    this.#options.signal?.throwIfAborted()
    this.#batches.throwIfFailed()
  }
}

function contradicts(place: number, found: string): never {
  throw new DiskFormatError({
    rule: 'vmdk-grain-tables',
    reason: 'grains and tables contradict each other',
    found,
    offset: place,
    accepted: 'each grain of the file in the tables, where it is',
  })
}
