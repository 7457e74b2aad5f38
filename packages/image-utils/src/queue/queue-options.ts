import { availableParallelism } from 'node:os'
import { type ImageService, InvalidError } from '@disk-image/core'
import type { ImageUtils } from '../image-utils.ts'
import type { Transfer } from './transfer.ts'

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
