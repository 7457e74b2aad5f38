import type { ProgressListener } from '@disk-image/core'
import type { StreamDecoderResult } from '../stream/stream-decoder.ts'
import { bytesPerL2Table, type Qcow2Layout } from './layout.ts'
import type { ClusterEntry } from './tables.ts'

/** Bytes of the stream on their way. A class for the reason in docs/decisions/0013-offsets-in-classes.md. */
class Placement {
  readonly end: number
  isDone = false

  constructor(end: number) {
    this.end = end
  }
}

/** How far a stream has come, and who waits for that. */
export class StreamCursor {
  /** Bytes of the stream whose way is decided. */
  position: number
  /** Bytes of the image that are, with all before them, in their places. */
  spooledBytes: number
  /** What is decided and not yet in its place, in order. */
  readonly #placements: Placement[] = []
  #isEnded = false
  /** Resolves with the next step that anybody makes. */
  #changed = Promise.withResolvers<void>()

  constructor(position: number) {
    this.position = position
    this.spooledBytes = position
  }

  /** Whether the image has come to its end, and every byte of it is in its place. */
  get isWhole(): boolean {
    return this.#isEnded && this.#placements.length === 0
  }

  /** Says that nothing more comes. */
  end(): void {
    this.#isEnded = true
    this.notify()
  }

  /**
   * Notes that all up to the position is on its way.
   *
   * @returns what is called when it is in its place
   */
  begin(): () => void {
    const placement = new Placement(this.position)
    this.#placements.push(placement)
    return () => {
      placement.isDone = true
      for (let [first] = this.#placements; first?.isDone === true; [first] = this.#placements) {
        this.spooledBytes = first.end
        this.#placements.shift()
      }
    }
  }

  /** Has everybody who waits look again. */
  notify(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#changed.promise
  }
}

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

  /** Counts everything that no table describes, by the indices of those that there are. @returns bytes of the disk */
  countMissing(layout: Qcow2Layout, tables: Iterable<number>): number {
    const { sizeBytes, clusterSize } = layout
    const perTable = bytesPerL2Table(layout)
    let described = 0
    let clusters = 0
    for (const table of tables) {
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
