import { InvalidError } from '@disk-image/core'
import { Limiter } from '@disk-image/io'
import type { Redis } from 'ioredis'
import { type FleetKeys, runScript, takePermit } from '../redis/scripts.ts'

/** Gives back what was taken; once is enough, twice is harmless. */
type Release = () => void

/** What one worker process does at the same time. */
export interface HostLimitOptions {
  /** Jobs. @default 4 */
  readonly jobs?: number | undefined
  /** Conversions: jobs that need a processor core rather than a network. @default 2 */
  readonly conversions?: number | undefined
  /** Bytes of images that are in work; a larger image is worked on alone. @default 64 GiB */
  readonly bytesInFlight?: number | undefined
}

/** How much of a host a job needs. */
interface Need {
  readonly bytes: number
  readonly converts: boolean
}

/** Keeps a host from taking more than it can do well. */
export class HostLimits {
  readonly jobs: number
  readonly #conversions: Limiter
  readonly #bytes: Limiter

  /** @throws {InvalidError} for what is no number above 0 */
  constructor(options: HostLimitOptions = {}) {
    const { jobs = 4, conversions = 2, bytesInFlight = 64 * 1024 ** 3 } = options
    for (const [name, value] of Object.entries({ jobs, conversions, bytesInFlight })) {
      if (!Number.isSafeInteger(value) || value < 1) {
        throw new InvalidError({
          reason: `The limit ${name} must be a whole number above 0; it is ${value}.`,
        })
      }
    }
    this.jobs = jobs
    this.#conversions = new Limiter(conversions)
    this.#bytes = new Limiter(bytesInFlight)
  }

  get bytesInFlight(): number {
    return this.#bytes.taken
  }

  /** Waits until the host has room. */
  async admit(need: Need, signal: AbortSignal): Promise<Release> {
    const releases: Release[] = []
    const release = (): void => releases.forEach((give) => give())
    try {
      // Always in this order, so that no two jobs can wait for each other.
      releases.push((await this.#bytes.acquire(need.bytes, signal)).release)
      if (need.converts) releases.push((await this.#conversions.acquire(1, signal)).release)
      return release
    } catch (error) {
      release()
      throw error
    }
  }
}

/** Of what all workers share, one worker's part. */
export interface Permit {
  release(): Promise<void>
}

/** A count that all workers of the fleet share. What a dead worker had is free again after a while. */
export class Permits {
  readonly #redis: Redis
  readonly #keys: FleetKeys
  readonly #ttlMs: number

  constructor(redis: Redis, keys: FleetKeys, ttlMs: number) {
    this.#redis = redis
    this.#keys = keys
    this.#ttlMs = ttlMs
  }

  /** @returns undefined where all permits are taken */
  async take(name: string, holder: string, count: number): Promise<Permit | undefined> {
    const key = this.#keys.permits(name)
    const take = (): Promise<unknown> =>
      runScript(this.#redis, takePermit, [key], [holder, count, this.#ttlMs])
    if ((await take()) !== 1) return undefined
    const renewal = setInterval(() => void take().catch(() => undefined), this.#ttlMs / 3)
    return {
      release: async () => {
        clearInterval(renewal)
        await this.#redis.zrem(key, holder).catch(() => undefined)
      },
    }
  }
}
