import type { ProgressListener } from '@disk-image/core'
import type { StreamDecoderResult } from '../stream/stream-decoder.ts'
import { bytesPerL2Table, type Qcow2Layout } from './layout.ts'
import type { TableOrder } from './table-order.ts'
import type { ClusterEntry } from './tables.ts'

/** What a decoding of a qcow2 image came to. */
export interface Qcow2DecodeResult extends StreamDecoderResult {
  /** Guest clusters of each kind; `zero` ones are marked so. */
  readonly clusters: Readonly<Record<ClusterEntry['kind'], number>>
}

/** Counts what a decoding does, and tells how far it is. */
export class DecodeStats {
  readonly #onProgress: ProgressListener | undefined
  readonly #virtualSizeBytes: number
  readonly #clusters = { normal: 0, compressed: 0, zero: 0, unallocated: 0 }
  #completedBytes = 0
  #bytesWritten = 0

  constructor(virtualSizeBytes: number, onProgress: ProgressListener | undefined) {
    this.#virtualSizeBytes = virtualSizeBytes
    this.#onProgress = onProgress
  }

  /** Counts everything that no table describes. @returns bytes of the disk */
  countMissing(layout: Qcow2Layout, tables: TableOrder): number {
    const { sizeBytes, clusterSize } = layout
    const perTable = bytesPerL2Table(layout)
    let described = 0
    let clusters = 0
    for (const table of tables.indices) {
      const bytes = Math.min(perTable, sizeBytes - table * perTable)
      described += bytes
      clusters += Math.ceil(bytes / clusterSize)
    }
    this.#clusters.unallocated = Math.ceil(sizeBytes / clusterSize) - clusters
    return sizeBytes - described
  }

  count(kind: ClusterEntry['kind'], clusters: number): void {
    this.#clusters[kind] += clusters
  }

  wrote(bytes: number): void {
    this.#bytesWritten += bytes
    this.pass(bytes)
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
      clusters: { ...this.#clusters },
    }
  }
}
