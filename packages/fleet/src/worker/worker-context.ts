import { InvalidError } from '@disk-image/core'
import type { Logger } from '@disk-image/core'
import type { ImageUtils } from '@disk-image/image-utils'
import type { Redis } from 'ioredis'
import type { ImageCache } from '../cache/image-cache.ts'
import type { LeaseStore } from '../lease/lease-store.ts'
import type { HostLimits } from '../limits/host-limits.ts'
import type { Permits } from '../limits/permits.ts'
import type { FleetKeys } from '../redis/keys.ts'
import type { BackendOptions, VolumeDriver } from '../volumes/volume-driver.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { CloudAccess, CloudOptions } from './options.ts'

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
