import {
  type CallOptions,
  type Disk,
  type EncodedImage,
  InvalidError,
  MiB,
  type Target,
} from '@disk-image/core'
import { allocateSharedBuffer } from '@disk-image/io'
import { readExtents } from '../blocks/copy-extents.ts'
import { compressDisk, type CompressedUnits } from '../encode/compress-disk.ts'
import { readUnits } from '../encode/disk-windows.ts'
import { DataMap } from '../encode/data-map.ts'
import type { CompressKind } from '../encode/deflater.ts'
import { type EncodeOptions, levelOf } from '../encode/encode-options.ts'
import { shareEncodeWorkers } from '../encode/encode-workers.ts'
import { DiskChangedError } from '../errors.ts'
import { storedDisk, zeroChunks } from '../raw/stored-disk.ts'
import type { Spool } from '../stream/stream-decoder.ts'
import { SpoolFile } from '../stream/spool-file.ts'
import { CompressedPlaces, type PlacedPart } from './compressed-places.ts'
import type { Qcow2Geometry } from './encode-geometry.ts'

/** Tables of a file that is compressed twice: of 512 GiB that are stored, at 64 KiB clusters. */
const mostTableBytes = 64 * MiB

/** qemu's own choice; and its reader takes no larger window of deflate. */
const zstdLevel = 3
const mostZstdLevel = 19
const deflateWindowBits = 12

/**
 * A disk as qcow2 with compressed clusters. Its tables are known only when all is compressed, and stand in front: so
 * what is sent goes through the spool, or, without one, is compressed once for the tables and once more for the bytes.
 */
export async function encodeCompressedQcow2(
  disk: Disk,
  geometry: Qcow2Geometry,
  options: EncodeOptions,
): Promise<EncodedImage> {
  const image = new Qcow2InOnePass(disk, geometry, options)
  const { spool } = options
  const temporaryBytes = spool === undefined ? 0 : await mostBytes(disk, geometry, options)
  let spooled: Promise<number> | undefined
  return {
    format: 'qcow2',
    sizeBytes: undefined,
    temporaryBytes,
    async *open(call = {}) {
      if (spool === undefined) yield* compressTwice(image, call)
      else {
        spooled ??= image.fill(spool, call)
        yield* readSpool(spool, await spooled, call)
      }
    },
    writeTo: (target, call) => image.writeTo(target, call),
  }
}

/** Bytes of the file if nothing could be compressed. */
async function mostBytes(disk: Disk, geometry: Qcow2Geometry, options: CallOptions): Promise<number> {
  const { count } = await DataMap.read(storedDisk(disk), geometry.clusterSize, options)
  return geometry.totalClusters(count + Math.min(count, geometry.l1Entries)) * geometry.clusterSize
}

/** Reads the disk once for the file, each time anew: its tables come when they are complete. */
export class Qcow2InOnePass {
  /** Bytes of the file, when it was made. */
  totalBytes = 0
  readonly #disk: Disk
  readonly #geometry: Qcow2Geometry
  readonly #options: EncodeOptions
  readonly #kind: CompressKind

  constructor(disk: Disk, geometry: Qcow2Geometry, options: EncodeOptions) {
    this.#disk = disk
    this.#geometry = geometry
    this.#options = options
    this.#kind =
      geometry.compression === 'zstd'
        ? { zstd: true, level: levelOf(options, zstdLevel, mostZstdLevel) }
        : { wrapped: false, level: levelOf(options), windowBits: deflateWindowBits }
  }

  /** The file's parts: data in its order, each table when it is complete, the header last. */
  async *parts(call: CallOptions = {}): AsyncGenerator<PlacedPart, void, void> {
    call.signal?.throwIfAborted()
    const { clusterSize } = this.#geometry
    const places = new CompressedPlaces(this.#geometry)
    for await (const window of this.#units(call)) yield* placeWindow(places, window, clusterSize)
    call.signal?.throwIfAborted()
    this.totalBytes = places.totalClusters * clusterSize
    yield* places.finish()
  }

  /** @returns bytes of the file */
  async writeTo(target: Pick<Target, 'write' | 'zero'>, call: CallOptions = {}): Promise<number> {
    for await (const { part, offset } of this.parts(call)) {
      await (typeof part === 'number' ? target.zero(offset, part) : target.write(part, offset))
    }
    return this.totalBytes
  }

  async *#units(call: CallOptions): AsyncGenerator<CompressedUnits, void, void> {
    const { compression, clusterSize: unitBytes } = this.#geometry
    const disk = storedDisk(this.#disk)
    if (compression === 'none') {
      for await (const { offset, bytes } of readUnits(disk, unitBytes, call)) {
        yield { offset, bytes, lengths: new Int32Array(bytes.length / unitBytes).fill(unitBytes) }
      }
      return
    }
    const share = shareEncodeWorkers(this.#options.workers)
    try {
      yield* compressDisk(disk, share, { ...call, kind: this.#kind, unitBytes, storesPlain: true })
    } finally {
      await share.close()
    }
  }

  /** @returns bytes of the file */
  async fill(spool: Spool, call: CallOptions): Promise<number> {
    await using file = await SpoolFile.open(spool.file)
    if ((await file.sizeBytes()) > 0)
      throw new InvalidError({ reason: 'The spool of an image is not empty.' })
    for await (const { part, offset } of this.parts(call)) {
      if (typeof part !== 'number') await spool.write(part, offset)
    }
    return this.totalBytes
  }
}

/** Of a window, all that is compressed comes together: so few clusters are left behind half full. */
function* placeWindow(
  places: CompressedPlaces,
  { offset, lengths, bytes }: CompressedUnits,
  clusterSize: number,
): Generator<PlacedPart, void, void> {
  const first = offset / clusterSize
  const order = places.hasTail ? [false, true] : [true, false]
  for (const isPlain of order) {
    let at = 0
    for (const [index, length] of lengths.entries()) {
      if (length > 0 && (length === clusterSize) === isPlain) {
        yield* places.place(first + index, bytes.subarray(at, at + length))
      }
      at += length
    }
    yield* places.flush()
  }
}

/** What was spooled; behind its end and where nothing was written are zeros. */
async function* readSpool(
  spool: Spool,
  totalBytes: number,
  call: CallOptions,
): AsyncGenerator<Uint8Array, void, void> {
  await using file = await SpoolFile.open(spool.file)
  const stored = Math.min(totalBytes, await file.sizeBytes())
  const reader = {
    size: stored,
    read: async (offset: number, length: number, into?: Uint8Array) => {
      const bytes = (into ?? new Uint8Array(length)).subarray(0, length)
      await file.readFully(bytes, offset)
      return bytes
    },
    // oxlint-disable-next-line typescript/require-await -- as a disk's are
    async *extents() {
      yield { offset: 0, length: stored, kind: 'data' as const }
    },
  }
  for await (const { bytes } of readExtents(reader, { signal: call.signal }, allocateSharedBuffer)) {
    if (bytes !== undefined) yield bytes
  }
  yield* zeroChunks(totalBytes - stored)
}

/**
 * Keeps the tables of a first run, and sends them with the data of a second one.
 *
 * @throws {DiskChangedError} where the second run comes to other tables
 */
async function* compressTwice(
  image: Qcow2InOnePass,
  call: CallOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const { signal } = call
  const tables = await keepTables(image, { signal })
  const { totalBytes } = image
  const places = [...tables.keys()].sort((one, other) => one - other)
  let next = 0
  let end = 0
  const upTo = function* (offset: number): Generator<Uint8Array, void, void> {
    for (let place = places[next]; place !== undefined && place < offset; place = places[next]) {
      const table = tables.get(place) as Uint8Array
      yield* zeroChunks(place - end)
      // It is compared once more.
      yield table.slice()
      end = place + table.length
      next += 1
    }
    if (end > offset) throw new DiskChangedError('its clusters became other ones', offset)
    yield* zeroChunks(offset - end)
    end = offset
  }
  for await (const { part, offset, isTable } of image.parts(call)) {
    if (typeof part === 'number') continue
    if (isTable) {
      const before = tables.get(offset)
      if (before !== undefined && Buffer.compare(before, part) === 0) continue
      throw new DiskChangedError('its clusters became other ones', 0)
    }
    yield* upTo(offset)
    yield part
    end += part.length
  }
  yield* upTo(totalBytes)
}

async function keepTables(image: Qcow2InOnePass, call: CallOptions): Promise<Map<number, Uint8Array>> {
  const tables = new Map<number, Uint8Array>()
  let tableBytes = 0
  for await (const { part, offset, isTable } of image.parts(call)) {
    if (!isTable || typeof part === 'number') continue
    tableBytes += part.length
    if (tableBytes > mostTableBytes) {
      throw new InvalidError({
        reason: `The tables of this disk have more than ${mostTableBytes} bytes: a compressed qcow2 of it needs a spool.`,
      })
    }
    tables.set(offset, part.slice())
  }
  return tables
}
