import type { ImageToVolumeReport, ImageToVolumeRequest } from '../image-to-volume/request.ts'

/** Where a transfer is: it waits for its turn, runs, or is over in one of three ways. */
export type TransferState = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled'

/** The report of a transfer in a queue. */
export interface TransferReport extends ImageToVolumeReport {
  /**
   * Whether the image came from a download that several transfers shared. Then one of them has its bytes under
   * `bytesDownloaded`, and the others 0.
   */
  readonly shared: boolean
}

/** How a transfer ended. */
export type TransferOutcome =
  | { readonly state: 'done'; readonly report: TransferReport }
  /** Nothing temporary is left, and nothing on the volume can be taken for an image. */
  | { readonly state: 'failed'; readonly error: unknown }
  /** The same; or it was never begun. */
  | { readonly state: 'cancelled'; readonly reason: unknown }

/** One transfer in a queue. */
export interface Transfer {
  readonly request: ImageToVolumeRequest
  readonly state: TransferState
  /** Never rejects: one transfer's failure is that one's own. */
  readonly outcome: Promise<TransferOutcome>
  /** Takes it out of the queue, or aborts it. What is over stays as it is. */
  cancel(reason?: unknown): void
}

/** How many transfers ended in which way. */
export interface TransferSummary {
  readonly done: number
  readonly failed: number
  readonly cancelled: number
  readonly bytesDownloaded: number
  readonly bytesWritten: number
}
