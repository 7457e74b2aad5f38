import type { Redis } from 'ioredis'
import type { FleetKeys } from '../redis/keys.ts'
import { runScript, takePermit } from '../redis/scripts.ts'

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
