import { type CallOptions, type Disk, type EncodedImage, KiB } from '@disk-image/core'
import { allocateSharedBuffer } from '@disk-image/io'
import { readExtents } from '../blocks/copy-extents.ts'
import { DataMap } from '../encode/data-map.ts'
import type { EncodeOptions } from '../encode/encode-options.ts'
import { type FilePart, imageOfParts } from '../encode/image-of-parts.ts'
import { DiskChangedError } from '../errors.ts'
import { viewOf } from '../layouts/fields.ts'
import { encodeCompressedQcow2, Qcow2InOnePass } from './encode-compressed.ts'
import { Qcow2Geometry, setPlace } from './encode-geometry.ts'

/** L1 tables are made in pieces of so many bytes. */
const l1PieceBytes = 64 * KiB

/**
 * A disk as qcow2. Where it is not compressed, its map is read first, and its length is known.
 *
 * @throws {InvalidError} for a disk that does not fit the clusters
 */
export async function encodeQcow2(disk: Disk, options: EncodeOptions): Promise<EncodedImage> {
  const geometry = new Qcow2Geometry(disk.size, options.qcow2)
  if (geometry.compression !== 'none') return encodeCompressedQcow2(disk, geometry, options)
  // What is measured without reading is measured in any case.
  if (options.measure !== false || !('storedExtents' in disk)) return measured(disk, geometry, options)
  const image = new Qcow2InOnePass(disk, geometry, options)
  return {
    format: 'qcow2',
    sizeBytes: undefined,
    temporaryBytes: 0,
    async *open(call) {
      yield* (await measured(disk, geometry, { signal: call?.signal })).open(call)
    },
    writeTo: (target, call) => image.writeTo(target, call),
  }
}

async function measured(disk: Disk, geometry: Qcow2Geometry, options: CallOptions): Promise<EncodedImage> {
  const map = await DataMap.read(disk, geometry.clusterSize, options)
  const image = new PlainQcow2(disk, geometry, map)
  return imageOfParts({
    format: 'qcow2',
    sizeBytes: image.totalClusters * geometry.clusterSize,
    parts: (call) => image.parts(call),
  })
}

/** A file in which every cluster is stored as it is. Tables are made of the map when their turn comes. */
class PlainQcow2 {
  readonly totalClusters: number
  readonly #disk: Disk
  readonly #geometry: Qcow2Geometry
  readonly #map: DataMap

  constructor(disk: Disk, geometry: Qcow2Geometry, map: DataMap) {
    this.#disk = disk
    this.#geometry = geometry
    this.#map = map
    let tables = 0
    for (let table = 0; table < geometry.l1Entries; table += 1) if (this.#clustersOf(table) > 0) tables += 1
    this.totalClusters = geometry.totalClusters(map.count + tables)
    geometry.requireCounted(this.totalClusters)
  }

  async *parts(call: CallOptions): AsyncGenerator<FilePart, void, void> {
    const { clusterSize, perBlock, frontBlocks, front } = this.#geometry
    yield* this.#front()
    let cluster = front
    let left = clusterSize
    // A refcount block comes wherever its turn is, between two clusters.
    for await (const piece of this.#tablesAndData(call)) {
      for (let at = 0; at < piece.length;) {
        if (left === clusterSize && cluster >= frontBlocks * perBlock && cluster % perBlock === 0) {
          yield this.#geometry.soleBlock(cluster / perBlock, this.totalClusters)
          cluster += 1
        }
        const behind = (Math.floor(cluster / perBlock) + 1) * perBlock
        const part = piece.subarray(at, at + (behind - cluster - 1) * clusterSize + left)
        yield part
        at += part.length
        const passed = clusterSize - left + part.length
        cluster += Math.floor(passed / clusterSize)
        left = clusterSize - (passed % clusterSize)
      }
    }
    // What the end of the disk has cut off is zero.
    if (left < clusterSize) yield left
  }

  /** Header, refcount table, L1 table, and the refcount blocks of what is here. */
  *#front(): Generator<FilePart, void, void> {
    const geometry = this.#geometry
    const { clusterSize } = geometry
    yield geometry.header()
    const refcounts = geometry.refcountTable(this.totalClusters)
    yield refcounts
    yield geometry.refcountTableClusters * clusterSize - refcounts.length
    yield* this.#l1Table()
    yield geometry.l1Clusters * clusterSize - geometry.l1Entries * 8
    for (let block = 0; block < geometry.frontBlocks; block += 1) {
      yield geometry.soleBlock(block, this.totalClusters)
    }
  }

  *#l1Table(): Generator<FilePart, void, void> {
    const geometry = this.#geometry
    let tables = 0
    for (let first = 0; first < geometry.l1Entries; first += l1PieceBytes / 8) {
      const count = Math.min(l1PieceBytes / 8, geometry.l1Entries - first)
      const bytes = new Uint8Array(count * 8)
      const before = tables
      for (let index = 0; index < count; index += 1) {
        const table = first + index
        if (this.#clustersOf(table) === 0) continue
        const ordinal = this.#map.rank(table * geometry.clustersPerTable) + tables
        setPlace(viewOf(bytes), index, geometry.clusterAt(ordinal) * geometry.clusterSize)
        tables += 1
      }
      yield tables === before ? bytes.length : bytes
    }
  }

  /** Each L2 table with its clusters behind it. */
  async *#tablesAndData(call: CallOptions): AsyncGenerator<Uint8Array, void, void> {
    const { clustersPerTable, l1Entries, clusterSize } = this.#geometry
    const size = this.#disk.size
    const { onProgress, signal } = call
    let ordinal = 0
    for (let table = 0; table < l1Entries; table += 1) {
      const count = this.#clustersOf(table)
      if (count === 0) continue
      yield this.#l2Table(table, ordinal + 1)
      ordinal += count + 1
      const runs = this.#map.runs(
        table * clustersPerTable,
        Math.min((table + 1) * clustersPerTable, this.#map.units),
      )
      const stored = {
        size,
        read: (offset: number, length: number, into?: Uint8Array) => this.#disk.read(offset, length, into),
        // oxlint-disable-next-line typescript/require-await -- as a disk's are
        async *extents() {
          for (const { first, count: clusters } of runs) {
            const offset = first * clusterSize
            yield { offset, length: Math.min(size - offset, clusters * clusterSize), kind: 'data' as const }
          }
        },
      }
      for await (const { offset, length, bytes } of readExtents(stored, { signal }, allocateSharedBuffer)) {
        if (bytes?.length !== length) throw new DiskChangedError(`it ends before its ${size} bytes`, offset)
        yield bytes
        onProgress?.({ stage: 'convert', completed: offset + length, total: size, unit: 'bytes' })
      }
    }
    onProgress?.({ stage: 'convert', completed: size, total: size, unit: 'bytes' })
  }

  #l2Table(table: number, firstOrdinal: number): Uint8Array {
    const { clusterSize, clustersPerTable } = this.#geometry
    const bytes = new Uint8Array(clusterSize)
    const view = viewOf(bytes)
    const start = table * clustersPerTable
    let ordinal = firstOrdinal
    for (const { first, count } of this.#map.runs(
      start,
      Math.min(start + clustersPerTable, this.#map.units),
    )) {
      for (let index = first - start; index < first - start + count; index += 1) {
        setPlace(view, index, this.#geometry.clusterAt(ordinal) * clusterSize)
        ordinal += 1
      }
    }
    return bytes
  }

  #clustersOf(table: number): number {
    const { clustersPerTable } = this.#geometry
    const end = Math.min((table + 1) * clustersPerTable, this.#map.units)
    return this.#map.rank(end) - this.#map.rank(Math.min(table * clustersPerTable, end))
  }
}
