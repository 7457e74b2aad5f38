import type { FilePart } from '../encode/image-of-parts.ts'
import { viewOf } from '../layouts/fields.ts'
import { type Qcow2Geometry, setCompressedPlace, setPlace } from './encode-geometry.ts'

/** A part of the file, and where it belongs. */
export interface PlacedPart {
  readonly part: FilePart
  readonly offset: number
  /** Whether it is a table or the header, which come out of the order of the file. */
  readonly isTable: boolean
}

/**
 * Gives clusters of any length their places, and writes the tables beside. Compressed clusters come one behind the
 * other, into the next cluster of the file where that is a neighbour.
 */
export class CompressedPlaces {
  readonly #geometry: Qcow2Geometry
  readonly #l1: Uint8Array
  /** Tables and clusters that have a place. */
  #ordinals = 0
  /** Of the last compressed cluster: where it ends, and where the cluster of the file does. */
  #tail = 0
  #tailEnd = 0
  readonly #l2: Uint8Array
  readonly #l2View: DataView
  #table = -1
  #tablePlace = 0
  readonly #refcounts: Uint8Array
  readonly #refcountsView: DataView
  #block: number
  /** Data that is not handed over yet: neighbours in memory and in the file. */
  #run: { readonly bytes: Uint8Array; readonly offset: number } | undefined

  constructor(geometry: Qcow2Geometry) {
    const { clusterSize, l1Entries, frontBlocks, perBlock, front } = geometry
    this.#geometry = geometry
    this.#l1 = new Uint8Array(l1Entries * 8)
    this.#l2 = new Uint8Array(clusterSize)
    this.#l2View = viewOf(this.#l2)
    this.#refcounts = new Uint8Array(clusterSize)
    this.#refcountsView = viewOf(this.#refcounts)
    this.#block = frontBlocks - 1
    for (let cluster = this.#block * perBlock; cluster < front; cluster += 1) this.#count(cluster)
  }

  get totalClusters(): number {
    return this.#geometry.totalClusters(this.#ordinals)
  }

  /** Whether the last cluster of the file has room for something compressed. */
  get hasTail(): boolean {
    return this.#tail < this.#tailEnd
  }

  /**
   * Gives a guest cluster its place; what became complete before comes first. The bytes come with a later piece, and
   * must be good until {@link flush}.
   *
   * @param bytes a whole cluster, or a compressed one that is shorter
   */
  *place(guestCluster: number, bytes: Uint8Array): Generator<PlacedPart, void, void> {
    const { clusterSize, clusterBits, clustersPerTable } = this.#geometry
    const table = Math.floor(guestCluster / clustersPerTable)
    if (table !== this.#table) yield* this.#openTable(table)
    const isPlain = bytes.length === clusterSize
    if (isPlain || !this.#fitsTail(bytes.length)) yield* this.#nextCluster()
    const offset = this.#tail
    this.#tail += bytes.length
    const first = Math.floor(offset / clusterSize)
    const last = Math.floor((this.#tail - 1) / clusterSize)
    if (last > first) {
      this.#ordinals += 1
      this.#tailEnd += clusterSize
    }
    for (let cluster = first; cluster <= last; cluster += 1) this.#count(cluster)
    const index = guestCluster - table * clustersPerTable
    if (isPlain) setPlace(this.#l2View, index, offset)
    else setCompressedPlace(this.#l2View, index, offset, bytes.length, clusterBits)
    yield* this.#join(bytes, offset)
  }

  /** Hands over what it holds of the data. */
  *flush(): Generator<PlacedPart, void, void> {
    if (this.#run !== undefined) yield { part: this.#run.bytes, offset: this.#run.offset, isTable: false }
    this.#run = undefined
  }

  /** The tables that are left, and the header. */
  *finish(): Generator<PlacedPart, void, void> {
    const geometry = this.#geometry
    const { clusterSize, l1Cluster, front, frontBlocks } = geometry
    const total = this.totalClusters
    geometry.requireCounted(total)
    yield* this.#leaveTail()
    yield* this.#closeTable()
    yield* this.#closeBlock()
    for (let block = 0; block < frontBlocks - 1; block += 1) {
      yield {
        part: geometry.soleBlock(block, total),
        offset: geometry.blockCluster(block) * clusterSize,
        isTable: true,
      }
    }
    const refcounts = geometry.refcountTable(total)
    yield* filled(this.#l1, l1Cluster * clusterSize, (front - frontBlocks) * clusterSize)
    yield* filled(refcounts, clusterSize, l1Cluster * clusterSize)
    yield { part: geometry.header(), offset: 0, isTable: true }
  }

  /** Whether so many bytes fit behind the last ones, in the next cluster too where that is the neighbour. */
  #fitsTail(length: number): boolean {
    if (this.#tail === this.#tailEnd) return false
    if (this.#tail + length <= this.#tailEnd) return true
    return this.#geometry.clusterAt(this.#ordinals) * this.#geometry.clusterSize === this.#tailEnd
  }

  /** Takes the next cluster of the file. */
  *#nextCluster(): Generator<PlacedPart, void, void> {
    const { clusterSize, perBlock, frontBlocks } = this.#geometry
    const cluster = this.#geometry.clusterAt(this.#ordinals)
    yield* this.#leaveTail()
    this.#ordinals += 1
    this.#tail = cluster * clusterSize
    this.#tailEnd = this.#tail + clusterSize
    const block = Math.max(frontBlocks - 1, Math.floor(cluster / perBlock))
    if (block === this.#block) return
    yield* this.flush()
    yield* this.#closeBlock()
    this.#block = block
    this.#count(block * perBlock)
  }

  /** What a cluster of the file has left is zero. */
  *#leaveTail(): Generator<PlacedPart, void, void> {
    const length = this.#tailEnd - this.#tail
    if (length === 0) return
    yield* this.flush()
    yield { part: length, offset: this.#tail, isTable: false }
  }

  *#openTable(table: number): Generator<PlacedPart, void, void> {
    const { clusterSize } = this.#geometry
    yield* this.flush()
    yield* this.#closeTable()
    yield* this.#nextCluster()
    this.#table = table
    this.#tablePlace = this.#tail
    this.#count(this.#tail / clusterSize)
    this.#tail = this.#tailEnd
    setPlace(viewOf(this.#l1), table, this.#tablePlace)
  }

  *#closeTable(): Generator<PlacedPart, void, void> {
    if (this.#table < 0) return
    yield { part: this.#l2, offset: this.#tablePlace, isTable: true }
    this.#l2.fill(0)
  }

  *#closeBlock(): Generator<PlacedPart, void, void> {
    const { clusterSize } = this.#geometry
    const offset = this.#geometry.blockCluster(this.#block) * clusterSize
    yield { part: this.#refcounts, offset, isTable: true }
    this.#refcounts.fill(0)
  }

  #count(cluster: number): void {
    const at = (cluster - this.#block * this.#geometry.perBlock) * 2
    this.#refcountsView.setUint16(at, this.#refcountsView.getUint16(at) + 1)
  }

  *#join(bytes: Uint8Array, offset: number): Generator<PlacedPart, void, void> {
    const run = this.#run
    const follows =
      run !== undefined &&
      run.offset + run.bytes.length === offset &&
      run.bytes.byteOffset + run.bytes.length === bytes.byteOffset
    if (!follows) {
      yield* this.flush()
      this.#run = { bytes, offset }
      return
    }
    const { buffer, byteOffset, length } = run.bytes
    this.#run = { bytes: new Uint8Array(buffer, byteOffset, length + bytes.length), offset: run.offset }
  }
}

/** A table, and the zeros up to what comes behind. */
function* filled(table: Uint8Array, offset: number, end: number): Generator<PlacedPart, void, void> {
  yield { part: table, offset, isTable: true }
  const length = end - offset - table.length
  if (length > 0) yield { part: length, offset: offset + table.length, isTable: true }
}
