import type { ProgressListener } from '@disk-image/core'
import type { Qcow2DecodeResult } from './decode-qcow2.ts'
import { bytesPerL2Table, type Qcow2Layout } from './layout.ts'
import type { ClusterEntry } from './l2-entry.ts'
import type { ClusterCounts } from './run.ts'
import type { TableOrder } from './table-order.ts'

/** Counts what a decoding does, and tells how far it is. */
export class Tally {
  readonly #onProgress: ProgressListener | undefined
  readonly #counts: ClusterCounts = { plain: 0, compressed: 0, zero: 0, unallocated: 0 }
  #virtualSizeBytes = 0
  #completedBytes = 0
  #bytesWritten = 0

  constructor(onProgress: ProgressListener | undefined) {
    this.#onProgress = onProgress
  }

  /** Counts everything that no table describes. */
  begin(layout: Qcow2Layout, tables: TableOrder): void {
    const { sizeBytes: virtualSizeBytes, clusterSize } = layout
    const perTable = bytesPerL2Table(layout)
    let described = 0
    let clusters = 0
    for (const table of tables.indices) {
      const bytes = Math.min(perTable, virtualSizeBytes - table * perTable)
      described += bytes
      clusters += Math.ceil(bytes / clusterSize)
    }
    this.#counts.unallocated = Math.ceil(virtualSizeBytes / clusterSize) - clusters
    this.#virtualSizeBytes = virtualSizeBytes
    this.pass(virtualSizeBytes - described)
  }

  count(kind: ClusterEntry['kind'], clusters: number): void {
    this.#counts[kind] += clusters
  }

  /** @param guestBytes of the disk, which may be more: what is zero is not written */
  wrote(bytes: number, guestBytes: number): void {
    this.#bytesWritten += bytes
    this.pass(guestBytes)
  }

  /** So many bytes of the disk need nothing more. */
  pass(guestBytes: number): void {
    this.#completedBytes += guestBytes
    this.#onProgress?.({
      stage: 'convert',
      completed: this.#completedBytes,
      total: this.#virtualSizeBytes,
      unit: 'bytes',
    })
  }

  result(): Qcow2DecodeResult {
    return {
      virtualSizeBytes: this.#virtualSizeBytes,
      bytesWritten: this.#bytesWritten,
      clusters: { ...this.#counts },
    }
  }
}
