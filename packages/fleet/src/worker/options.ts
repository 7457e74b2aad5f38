import type { ImageService, Logger, RequestContext } from '@disk-image/core'
import type { ImageUtils } from '@disk-image/image-utils'
import type { ImageCacheOptions } from '../cache/image-cache.ts'
import type { HostLimitOptions } from '../limits/host-limits.ts'
import type { FleetConnection } from '../redis/connection.ts'
import type { BackendOptions, VolumeDriver } from '../volumes/volume-driver.ts'
import type { FleetMeter } from './metrics.ts'

/** An image service that a worker has signed in to. */
export interface CloudAccess {
  readonly imageService: ImageService
  readonly context?: RequestContext | undefined
  close?(): Promise<void>
}

/** An image service that jobs may name. */
export interface CloudOptions {
  /** Signs in. Called once, with the first job that needs it. */
  open(): Promise<CloudAccess> | CloudAccess
  /** Jobs that all workers together may do with it at the same time. @default no limit */
  readonly maxJobs?: number | undefined
}

/** Options of {@link createWorker}. */
export interface FleetWorkerOptions {
  readonly connection: FleetConnection
  /** Of every key in Redis. @default 'disk-image' */
  readonly prefix?: string | undefined
  /** @default HOST-PROCESS */
  readonly name?: string | undefined
  /** Workers of one host share its disks. @default the host's name */
  readonly host?: string | undefined
  readonly imageUtils: ImageUtils
  readonly clouds?: Readonly<Record<string, CloudOptions>> | undefined
  readonly backends: Readonly<Record<string, BackendOptions>>
  readonly limits?: HostLimitOptions | undefined
  /** @default none: every job downloads for itself */
  readonly cache?: ImageCacheOptions | undefined
  /** For volumes of Ceph; see `createRbdDriver`. */
  readonly rbd?: VolumeDriver | undefined
  /** After how long without a sign of life a worker's jobs are another's. @default 15000 */
  readonly leaseMs?: number | undefined
  /**
   * Called where this process is still at a volume that may be another worker's by now: it was stopped for longer than
   * `leaseMs`, or could not end its work in time. It must not return before nothing of it writes any more.
   * @default kills the process, which its supervisor starts again
   */
  readonly onOverdue?: ((reason: string) => void) | undefined
  /** How often a job may take its worker down before it is given up. @default 3 */
  readonly maxCrashes?: number | undefined
  readonly meter?: FleetMeter | undefined
  readonly logger?: Logger | undefined
}
