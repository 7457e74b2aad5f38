import type { Redis } from 'ioredis'
import type { FleetKeys } from '../redis/keys.ts'
import { runScript } from '../redis/run-script.ts'
import { takeSlot } from '../redis/scripts.ts'

/** A place among those that all workers share. */
export interface Slot {
  release(): Promise<void>
}

/** Places that all workers of the fleet share. What a dead worker had is free again after a while. */
export class Slots {
  readonly #redis: Redis
  readonly #keys: FleetKeys
  readonly #ttlMs: number

  constructor(redis: Redis, keys: FleetKeys, ttlMs: number) {
    this.#redis = redis
    this.#keys = keys
    this.#ttlMs = ttlMs
  }

  /** @returns undefined where all places are taken */
  async take(name: string, holder: string, count: number): Promise<Slot | undefined> {
    const key = this.#keys.slots(name)
    const take = (): Promise<unknown> => runScript(this.#redis, takeSlot, [key], [holder, count, this.#ttlMs])
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
