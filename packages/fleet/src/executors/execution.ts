import {
  type ImageRecord,
  type ImageService,
  type ProgressListener,
  type RequestContext,
  type WriteRight,
  NotSupportedOperationError,
} from '@disk-image/core'
import type { ImageUtils } from '@disk-image/image-utils'
import type { ImageCache } from '../cache/image-cache.ts'
import type { HeldVolume } from '../volumes/hold-volume.ts'
import type { BackendOptions, VolumeDriver } from '../volumes/volume-driver.ts'

/** What a job is done with. */
export interface Execution {
  readonly imageUtils: ImageUtils
  readonly backend: BackendOptions
  readonly imageService: ImageService | undefined
  readonly context: RequestContext
  /** The image's record, for a job that names one. */
  readonly record: ImageRecord | undefined
  readonly cache: ImageCache | undefined
  readonly rbd: VolumeDriver | undefined
  /** Files with passphrases, by the names that jobs have for them. */
  readonly passphrases: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  readonly onProgress: ProgressListener
  readonly writeRight: WriteRight
  /** To be called before each stage. @throws where the destination is another's */
  check(): Promise<void>
  /** Whether the destination may be another's by now: then nothing of it is touched any more. */
  isOver(): boolean
  /** Has a volume that is written to itself. @throws {VolumeInUseError} */
  lock(volume: HeldVolume): Promise<AsyncDisposable | undefined>
  /** Whether an earlier run of the same submission had begun to fill the destination. */
  hasBegun(): Promise<boolean>
  /** Notes that this one does. */
  noteBegun(): Promise<void>
}

/** What a job reports. */
export type Report = Readonly<Record<string, unknown>>

/** @throws {NotSupportedOperationError} where the worker has no driver for Ceph */
export function needRbd({ rbd }: Execution): VolumeDriver {
  if (rbd === undefined) {
    throw new NotSupportedOperationError({
      operation: 'rbd',
      reason: 'This worker has no driver for volumes of Ceph: give it one made by createRbdDriver.',
    })
  }
  return rbd
}
