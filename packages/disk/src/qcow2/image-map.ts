import { requestBytes } from '../stream/cluster-reader.ts'
import type { HostClusterMap } from './claims.ts'
import type { DecodeStats } from './decode-stats.ts'
import { refuse } from './errors.ts'
import { ExtentBuilder, GuestExtent } from './extents.ts'
import type { Qcow2Layout } from './layout.ts'
import { MinHeap } from './min-heap.ts'
import { PendingExtents } from './pending-extents.ts'
import { TableOrder } from './table-order.ts'
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
    refuse('qcow2-cluster-outside-file', 'a cluster lies outside the file', this.#farthest)
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
