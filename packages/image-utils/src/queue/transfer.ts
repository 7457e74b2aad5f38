import { availableParallelism } from 'node:os'
import { type ImageService, InvalidError } from '@disk-image/core'
import type { ImageToVolumeReport, ImageToVolumeRequest } from '../image-to-volume/request.ts'
import type { ImageUtils } from '../image-utils.ts'

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

/** A transfer as the queue sees it. */
export class QueuedTransfer implements Transfer {
  readonly request: ImageToVolumeRequest
  readonly outcome: Promise<TransferOutcome>
  /** Made when it begins: of very many, few run. */
  #abort: AbortController | undefined
  readonly #resolve: (outcome: TransferOutcome) => void
  readonly #onEnd: (transfer: QueuedTransfer) => void
  #state: TransferState = 'waiting'
  #unfollow: (() => void) | undefined
  result: TransferOutcome | undefined

  constructor(request: ImageToVolumeRequest, onEnd: (transfer: QueuedTransfer) => void) {
    this.request = request
    this.#onEnd = onEnd
    const { promise, resolve } = Promise.withResolvers<TransferOutcome>()
    this.outcome = promise
    this.#resolve = resolve
  }

  get state(): TransferState {
    return this.#state
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    return this.#abort.signal
  }

  follow(signal: AbortSignal | undefined): void {
    if (signal === undefined) return
    const onAbort = (): void => this.cancel(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#unfollow = () => signal.removeEventListener('abort', onAbort)
  }

  begin(): void {
    this.#abort ??= new AbortController()
    this.#state = 'running'
  }

  cancel(reason: unknown = new DOMException('The transfer was cancelled.', 'AbortError')): void {
    if (this.#state === 'waiting') this.end({ state: 'cancelled', reason })
    else if (this.#state === 'running') this.#abort?.abort(reason)
  }

  end(outcome: TransferOutcome): void {
    if (this.result !== undefined) return
    this.result = outcome
    this.#state = outcome.state
    this.#unfollow?.()
    this.#abort = undefined
    this.#onEnd(this)
    this.#resolve(outcome)
  }
}

/** What a queue works with. */
export interface TransferQueueDependencies {
  /** Made by `createImageUtils`. */
  readonly imageUtils: Pick<ImageUtils, 'imageToVolume' | 'openSource' | 'options' | 'TemporaryImages'>
  /** For requests that name none. */
  readonly imageService?: ImageService | undefined
}

/** How much a queue does at once. */
export interface TransferQueueOptions {
  /** Transfers that run at once. @default one for each processor, from 2 to 8 */
  readonly jobs?: number | undefined
  /** Transfers that write to one disk, or file system, at once. @default as many as `jobs` */
  readonly jobsPerDevice?: number | undefined
  /**
   * Bytes of memory and of temporary files that transfers take at once, as estimated from the images' records. A
   * transfer that needs more runs alone. @default no bound but `jobs`
   */
  readonly bytesInFlight?: number | undefined
  /** After a failure begin no other transfer; those that run go on to their end. @default false */
  readonly stopOnFailure?: boolean | undefined
  /** Cancels everything. */
  readonly signal?: AbortSignal | undefined
  /** Called when a transfer begins, and when it is over. What it throws is ignored. */
  readonly onChange?: ((transfer: Transfer) => void) | undefined
}

/** The limits, filled in and checked. */
export interface QueueLimits {
  readonly jobs: number
  readonly jobsPerDevice: number
  readonly bytesInFlight: number
}

/** Fills in the defaults. @throws {InvalidError} for a value that makes no sense, with its name */
export function resolveLimits(options: TransferQueueOptions): QueueLimits {
  const jobs = options.jobs ?? Math.min(8, Math.max(2, availableParallelism()))
  const limits = {
    jobs,
    jobsPerDevice: options.jobsPerDevice ?? jobs,
    bytesInFlight: options.bytesInFlight ?? Number.MAX_SAFE_INTEGER,
  }
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new InvalidError({ reason: `Option ${name} is ${value}; it must be a whole number above 0.` })
    }
  }
  return limits
}
