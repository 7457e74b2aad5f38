import { InvalidError, type Logger, type ImageService, type RequestContext } from '@disk-image/core'
import type { ImageUtils } from '@disk-image/image-utils'
import type { Redis } from 'ioredis'
import type { ImageCache, ImageCacheOptions } from '../cache/image-cache.ts'
import type { LeaseStore } from '../lease/lease.ts'
import type { HostLimits, Permits, HostLimitOptions } from '../limits/host-limits.ts'
import type { FleetKeys } from '../redis/scripts.ts'
import type { BackendOptions, VolumeDriver } from '../volumes/volume-driver.ts'
import type { WorkerMetrics, FleetMeter } from './metrics.ts'
import type { FleetConnection } from '../redis/connection.ts'

/** A job that a worker is at. */
interface RunningJob {
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
  readonly permits: Permits
  readonly clouds: Clouds
  readonly backends: Readonly<Record<string, BackendOptions>>
  readonly limits: HostLimits
  readonly cache: ImageCache | undefined
  readonly rbd: VolumeDriver | undefined
  readonly passphrases: Readonly<Record<string, string>>
  readonly imageUtils: ImageUtils
  readonly logger: Logger
  readonly metrics: WorkerMetrics
  readonly running: Map<string, RunningJob>
  /** Whether a job that has taken a worker down before is run here now. */
  suspect: string | undefined
}

/** The image services that a worker knows, each opened once. */
export class Clouds {
  readonly #options: Readonly<Record<string, CloudOptions>>
  readonly #open = new Map<string, Promise<CloudAccess>>()

  constructor(options: Readonly<Record<string, CloudOptions>>) {
    this.#options = options
  }

  /** @throws {InvalidError} for a name that the configuration doesn't have */
  optionsOf(name: string): CloudOptions {
    const found = Object.hasOwn(this.#options, name) ? this.#options[name] : undefined
    if (found === undefined) {
      throw new InvalidError({ reason: `This worker knows no cloud ${name}: add it to its configuration.` })
    }
    return found
  }

  async access(name: string): Promise<CloudAccess> {
    const options = this.optionsOf(name)
    const opening = this.#open.get(name) ?? Promise.resolve(options.open())
    this.#open.set(name, opening)
    try {
      return await opening
    } catch (error) {
      // The next job tries again: who could not sign in now may be able to later.
      this.#open.delete(name)
      throw error
    }
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#open.values())
    for (const settled of opened) if (settled.status === 'fulfilled') await settled.value.close?.()
  }
}

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
  /** Where a job's source may lead, and what signs in there, is told by its `network`: the public internet, and nothing. */
  readonly imageUtils: ImageUtils
  readonly clouds?: Readonly<Record<string, CloudOptions>> | undefined
  readonly backends: Readonly<Record<string, BackendOptions>>
  readonly limits?: HostLimitOptions | undefined
  /** @default none: every job downloads for itself */
  readonly cache?: ImageCacheOptions | undefined
  /** For volumes of Ceph; see `createRbdDriver`. */
  readonly rbd?: VolumeDriver | undefined
  /** Files with passphrases of encrypted images, by the names that jobs have for them. @default none */
  readonly passphrases?: Readonly<Record<string, string>> | undefined
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
