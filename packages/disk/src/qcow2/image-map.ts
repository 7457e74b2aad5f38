import { requestBytes } from '../stream/decode-tasks.ts'
import type { HostClusterMap } from './claims.ts'
import type { DecodeStats } from './progress.ts'
import { refuseQcow2 } from '../errors.ts'
import { ExtentBuilder, GuestExtent, MinHeap, PendingExtents } from './extents.ts'
import type { Qcow2Layout } from './layout.ts'
import { type ClusterEntry, lastByteInside, type TableVisitor, visitL2Table } from './tables.ts'

/** Extents that wait for their bytes before the next L2 table is opened. */
export const waitingExtents: number = 16_384

/** What the tables of an image have told so far: which bytes of the file are needed, and where they belong. */
export class ImageMap {
  readonly layout: Qcow2Layout
  readonly tables: TableOrder
  /** To be read from the spool, by how much of the file they need. */
  readonly waiting: MinHeap<GuestExtent> = new MinHeap(({ needsBytes }) => needsBytes)
  /** To be taken from the stream. */
  readonly pending: PendingExtents
  readonly #claims: HostClusterMap
  readonly #stats: DecodeStats
  readonly #writeZeros: boolean
  /** The file must be longer than this, for every cluster to begin inside. */
  #farthest = -1

  /** @param writeZeros whether what is zero waits, too, as an extent without parts */
  constructor(
    layout: Qcow2Layout,
    l1: Float64Array,
    claims: HostClusterMap,
    stats: DecodeStats,
    writeZeros: boolean,
  ) {
    this.layout = layout
    this.tables = new TableOrder(l1)
    this.pending = new PendingExtents(layout.clusterSize)
    this.#claims = claims
    this.#stats = stats
    this.#writeZeros = writeZeros
  }

  /** Whether so much is known that no further table is opened. */
  get isFull(): boolean {
    return this.waiting.size + this.pending.size >= waitingExtents
  }

  get farthest(): number {
    return this.#farthest
  }

  /**
   * Every host cluster must begin inside the file.
   *
   * @throws {Qcow2DecodeError}
   */
  checkInside(fileBytes: number): void {
    if (this.#farthest < fileBytes) return
    refuseQcow2('qcow2-cluster-outside-file', 'a cluster lies outside the file', this.#farthest)
  }

  /**
   * Opens the table that `tables` has just handed out.
   *
   * @param index of the table in the L1 table
   * @param position bytes of the stream whose way is decided
   * @throws {Qcow2DecodeError} where it is damaged, or a cluster is in use already
   */
  open(index: number, offset: number, bytes: Uint8Array, position: number): void {
    const { layout } = this
    let nothing = 0
    const builder = new ExtentBuilder(layout.sizeBytes, requestBytes, (extent) => {
      for (const spooled of this.pending.place(extent, position)) this.waiting.push(spooled)
    })
    const visitor: TableVisitor = {
      clusters: (first, count) => {
        this.#stats.count(first.kind, count)
        this.#claim(first, count)
      },
      range: (kind, guestOffset, length, hostOffset, hostLength) => {
        if (kind === 'normal' || kind === 'compressed') {
          builder.add(kind, guestOffset, length, hostOffset, hostLength)
          return
        }
        builder.finish()
        const inside = Math.min(length, layout.sizeBytes - guestOffset)
        if (inside <= 0) return
        if (this.#writeZeros) this.waiting.push(new GuestExtent(guestOffset, inside, [], 0))
        else nothing += inside
      },
    }
    visitL2Table(bytes, layout, index, offset, visitor)
    builder.finish()
    this.#stats.pass(nothing)
  }

  #claim(entry: ClusterEntry, count: number): void {
    const { kind, hostOffset, hostLength } = entry
    if (hostLength === 0) return
    if (kind === 'compressed') this.#claims.claimCompressed(hostOffset, hostLength)
    else this.#claims.claim(hostOffset, count * hostLength)
    this.#farthest = Math.max(this.#farthest, lastByteInside(entry, count))
  }
}

/** The L2 tables of a disk in the order of the file, and which of them are open. */
export class TableOrder {
  readonly #l1: Float64Array
  readonly #order: Uint32Array
  readonly #open: Uint8Array
  /** No table before this one is closed. */
  #firstClosed = 0

  /** @param l1 offsets of the tables; 0: there is none */
  constructor(l1: Float64Array) {
    this.#l1 = l1
    this.#order = sortedByOffset(l1)
    this.#open = new Uint8Array(this.#order.length)
  }

  /** Indices of the tables in the L1 table. */
  get indices(): Iterable<number> {
    return this.#order
  }

  /** Where the first table lies that is not open; infinite where all are. */
  get nextOffset(): number {
    while (this.#open[this.#firstClosed] === 1) this.#firstClosed += 1
    return this.#offsetAt(this.#firstClosed)
  }

  /** Opens that table. @returns its index in the L1 table */
  openNext(): number {
    return this.#openAt(this.#firstClosed)
  }

  /** Where the first table from a place on lies; infinite where none does. */
  nextFrom(offset: number): number {
    return this.#offsetAt(this.#firstFrom(offset))
  }

  /** Opens the table that {@link nextFrom} tells of. @returns its index in the L1 table */
  openFrom(offset: number): number {
    return this.#openAt(this.#firstFrom(offset))
  }

  #openAt(place: number): number {
    this.#open[place] = 1
    return this.#order[place] ?? 0
  }

  #firstFrom(offset: number): number {
    let low = 0
    let high = this.#order.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#offsetAt(middle) < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  #offsetAt(place: number): number {
    const index = this.#order[place]
    return index === undefined ? Infinity : (this.#l1[index] ?? 0)
  }
}

function sortedByOffset(l1: Float64Array): Uint32Array {
  let count = 0
  for (const offset of l1) if (offset !== 0) count += 1
  const order = new Uint32Array(count)
  let position = 0
  for (let index = 0; index < l1.length; index += 1) {
    if (l1[index] === 0) continue
    order[position] = index
    position += 1
  }
  return order.sort((left, right) => (l1[left] ?? 0) - (l1[right] ?? 0))
}
