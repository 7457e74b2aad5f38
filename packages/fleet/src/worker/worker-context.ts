import type { Logger } from '@disk-image/core'
import type { ImageUtils } from '@disk-image/image-utils'
import type { Redis } from 'ioredis'
import type { ImageCache } from '../cache/image-cache.ts'
import type { LeaseStore } from '../lease/lease-store.ts'
import type { HostLimits } from '../limits/host-limits.ts'
import type { Slots } from '../limits/slots.ts'
import type { FleetKeys } from '../redis/keys.ts'
import type { Clouds } from './clouds.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { BackendOptions, VolumeDriver } from './options.ts'

/** A job that a worker is at. */
export interface RunningJob {
  readonly jobId: string
  readonly type: string
  readonly beganMs: number
  /** Ends it: cancelled, or because the worker stops. */
  readonly controller: AbortController
}

/** What all jobs of a worker share. */
export interface WorkerContext {
  readonly name: string
  readonly host: string
  readonly keys: FleetKeys
  readonly redis: Redis
  readonly leases: LeaseStore
  readonly slots: Slots
  readonly clouds: Clouds
  readonly backends: Readonly<Record<string, BackendOptions>>
  readonly limits: HostLimits
  readonly cache: ImageCache | undefined
  readonly rbd: VolumeDriver | undefined
  readonly imageUtils: ImageUtils
  readonly logger: Logger
  readonly metrics: WorkerMetrics
  readonly running: Map<string, RunningJob>
  /** Whether a job that has taken a worker down before is run here now. */
  suspect: string | undefined
}
