import { InvalidError } from '@disk-image/core'
import { Limiter } from '@disk-image/io'
import type { ImageToVolumeRequest } from '../image-to-volume/request.ts'
import {
  type DestinationIdentifier,
  type DestinationIdentity,
  createDestinationIdentifier,
} from '../write/destination-identity.ts'
import {
  type QueueLimits,
  type TransferQueueDependencies,
  type TransferQueueOptions,
  resolveLimits,
  QueuedTransfer,
  type Transfer,
  type TransferSummary,
} from './transfer.ts'
import { runTransfer } from './run-transfer.ts'
import { SharedImages } from './shared-images.ts'
import { type SlotEntry, SlotQueue } from './permit-queue.ts'

/** Many transfers of images onto volumes, as many at once as the machine bears. */
export interface TransferQueue extends AsyncDisposable {
  /** Puts a transfer at the end. It begins by itself when its turn comes. */
  add(request: ImageToVolumeRequest): Transfer
  /** Cancels every transfer that is not over. */
  cancel(reason?: unknown): void
  /** Resolves when nothing waits or runs, with the counts of everything so far. Never rejects. */
  finished(): Promise<TransferSummary>
}

/**
 * A queue for many transfers at once.
 *
 * - At most `jobs` run at once, at most `jobsPerDevice` of them onto one disk, first come first served on each.
 * - Their memory and temporary files stay within `bytesInFlight`; who needs much is not overtaken.
 * - Transfers of one image that are in the queue together share one download, where the image is stored as it
 *   is, and not in a compressed container or an archive. A raw image that is larger than the whole budget goes
 *   to each of its volumes directly.
 * - A destination that another transfer of the queue has not finished with is refused.
 * - Each fails for itself. Disposing cancels what is left, and waits until nothing runs.
 *
 * @throws {InvalidError} for a limit that makes no sense
 */
export function createTransferQueue(
  dependencies: TransferQueueDependencies,
  options: TransferQueueOptions = {},
): TransferQueue {
  const identify = createDestinationIdentifier({ rememberFolders: false })
  return new Queue(dependencies, options, resolveLimits(options), identify)
}

/** A transfer, and what the queue notes of it. */
interface Entry {
  readonly transfer: QueuedTransfer
  readonly identity: DestinationIdentity
}

/** The queue itself; `identify` is given so that its order can be tested without a file system. */
export class Queue implements TransferQueue {
  readonly #dependencies: TransferQueueDependencies
  readonly #options: TransferQueueOptions
  readonly #identify: DestinationIdentifier
  readonly #slots: SlotQueue<Entry>
  readonly #budget: Limiter
  readonly #images: SharedImages
  /** Added, and not yet looked at: in order, so that who came first is served first. */
  #arrivals: QueuedTransfer[] = []
  #admitting = false
  readonly #open = new Set<QueuedTransfer>()
  readonly #entries = new Map<Transfer, SlotEntry<Entry>>()
  readonly #destinations = new Map<string, QueuedTransfer>()
  readonly #waiters: (() => void)[] = []
  /** While many are cancelled, none of them may begin. */
  #paused = false
  #stopped: { readonly reason: unknown } | undefined
  #summary: TransferSummary = { done: 0, failed: 0, cancelled: 0, bytesDownloaded: 0, bytesWritten: 0 }

  constructor(
    dependencies: TransferQueueDependencies,
    options: TransferQueueOptions,
    limits: QueueLimits,
    identify: DestinationIdentifier,
  ) {
    this.#dependencies = dependencies
    this.#options = options
    this.#identify = identify
    this.#slots = new SlotQueue(limits)
    this.#budget = new Limiter(limits.bytesInFlight)
    this.#images = new SharedImages(dependencies.imageUtils.TemporaryImages)
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  add(request: ImageToVolumeRequest): Transfer {
    const imageService = request.imageService ?? this.#dependencies.imageService
    const transfer = new QueuedTransfer({ ...request, imageService }, (ended) => this.#settle(ended))
    this.#open.add(transfer)
    const aborted = [this.#options.signal, request.signal].find((signal) => signal?.aborted === true)
    if (aborted !== undefined) transfer.cancel(aborted.reason)
    else if (this.#stopped !== undefined) transfer.cancel(this.#stopped.reason)
    else {
      // The queue's own signal is listened to once, not once for each.
      if (request.signal !== this.#options.signal) transfer.follow(request.signal)
      this.#images.join(transfer)
      this.#arrivals.push(transfer)
      if (!this.#admitting) void this.#admit()
    }
    return transfer
  }

  cancel(reason: unknown = new DOMException('The transfers were cancelled.', 'AbortError')): void {
    this.#cancel(() => true, reason)
  }

  async finished(): Promise<TransferSummary> {
    while (this.#open.size > 0) {
      await new Promise<void>((resolve) => {
        this.#waiters.push(resolve)
      })
    }
    await this.#images.settled()
    return this.#summary
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel()
    await this.finished()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
  }

  readonly #onAbort = (): void => this.cancel(this.#options.signal?.reason)

  /** Looks at destinations one after the other, and puts each transfer where it belongs. */
  async #admit(): Promise<void> {
    this.#admitting = true
    try {
      for (let next = 0; next < this.#arrivals.length; next += 1) {
        const transfer = this.#arrivals[next]
        if (transfer === undefined || transfer.state !== 'waiting') continue
        const identity = await this.#identify(transfer.request.volume)
        if (transfer.state === 'waiting') this.#queue(transfer, identity)
      }
      this.#arrivals = []
    } finally {
      this.#admitting = false
    }
  }

  #queue(transfer: QueuedTransfer, identity: DestinationIdentity): void {
    if (identity.keys.some((key) => this.#destinations.has(key))) {
      const reason = `${transfer.request.volume} is the destination of another transfer that is not over.`
      transfer.end({ state: 'failed', error: new InvalidError({ reason }) })
      return
    }
    for (const key of identity.keys) this.#destinations.set(key, transfer)
    const entry = this.#slots.add({ transfer, identity }, identity.device)
    this.#entries.set(transfer, entry)
    if (this.#images.of(transfer)?.begun === true) this.#slots.hasten(entry)
    this.#begin()
  }

  #begin(): void {
    if (this.#paused) return
    for (let entry = this.#slots.next(); entry !== undefined; entry = this.#slots.next()) {
      void this.#run(entry.item.transfer)
    }
  }

  async #run(transfer: QueuedTransfer): Promise<void> {
    transfer.begin()
    this.#tell(transfer)
    const outcome = await runTransfer(transfer, {
      imageUtils: this.#dependencies.imageUtils,
      budget: this.#budget,
      images: this.#images,
      // Who shares a download that has begun goes first: its file is kept for them.
      onShared: (members) => {
        for (const member of members) {
          const waiting = this.#entries.get(member)
          if (waiting !== undefined) this.#slots.hasten(waiting)
        }
      },
    })
    transfer.end(outcome)
  }

  /** A transfer is over: its slot, destination and image are free for others. */
  #settle(transfer: QueuedTransfer): void {
    const entry = this.#entries.get(transfer)
    this.#entries.delete(transfer)
    if (entry !== undefined) {
      this.#slots.leave(entry)
      for (const key of entry.item.identity.keys) this.#destinations.delete(key)
    }
    this.#images.leave(transfer)
    this.#open.delete(transfer)
    this.#count(transfer)
    this.#tell(transfer)
    if (transfer.state === 'failed' && this.#options.stopOnFailure === true) this.#stop()
    this.#begin()
    if (this.#open.size === 0) for (const wake of this.#waiters.splice(0)) wake()
  }

  #stop(): void {
    const reason = new DOMException('Not begun, because another transfer failed.', 'AbortError')
    this.#stopped ??= { reason }
    this.#cancel((transfer) => transfer.state === 'waiting', reason)
  }

  #cancel(which: (transfer: Transfer) => boolean, reason: unknown): void {
    this.#paused = true
    for (const transfer of this.#open) if (which(transfer)) transfer.cancel(reason)
    this.#paused = false
    this.#begin()
  }

  #count(transfer: QueuedTransfer): void {
    const { result } = transfer
    if (result === undefined) return
    const summary = { ...this.#summary, [result.state]: this.#summary[result.state] + 1 }
    if (result.state === 'done') {
      summary.bytesDownloaded += result.report.bytesDownloaded
      summary.bytesWritten += result.report.bytesWritten
    }
    this.#summary = summary
  }

  #tell(transfer: Transfer): void {
    try {
      this.#options.onChange?.(transfer)
    } catch {
      // Whoever listens must not be able to stop the queue.
    }
  }
}
