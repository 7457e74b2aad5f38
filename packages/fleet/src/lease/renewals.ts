import { createBootClock } from '@disk-image/host'
import type { Redis } from 'ioredis'
import { renewLease, runScript } from '../redis/scripts.ts'

/** What is renewed. */
export interface RenewalRequest {
  readonly leases: readonly string[]
  /** Who had each of them last, for as long as it is not given back. */
  readonly owners: readonly string[]
  readonly cancelled: string
  readonly submission: string
  readonly holder: string
  /** What the owners say of this one. */
  readonly record: string
  readonly ttlMs: number
  /** Until when its holder may write: put off here. */
  readonly until: BigInt64Array<SharedArrayBuffer>
}

/** What Redis says of a lease. */
export type LeaseState = 'lost' | 'kept' | 'cancelled'

/** The part of the time by which two clocks may differ in their speed. */
const drift = 0.01

/** A part of a lease: how long one write may take, and ending the work, and again until another is let in. */
export function marginOf(ttlMs: number): number {
  return ttlMs / 6
}

/** From when nothing may be begun any more under a lease that was asked for at that time. */
export function writeUntilMs(askedMs: number, ttlMs: number): bigint {
  return BigInt(Math.floor(askedMs + ttlMs * (1 - drift) - marginOf(ttlMs)))
}

/**
 * Renews leases, each a few times within its life, and sooner where Redis did not answer. One that ran out and that
 * nobody else has had since is taken again: its holder may go on.
 */
export class Renewals {
  readonly #redis: Redis
  readonly #tell: (id: number, state: LeaseState) => void
  readonly #nowMs = createBootClock()
  readonly #leases = new Map<number, { readonly request: RenewalRequest; timer: NodeJS.Timeout }>()

  /** @param tell gets what is more than that a lease is kept */
  constructor(redis: Redis, tell: (id: number, state: LeaseState) => void) {
    this.#redis = redis
    this.#tell = tell
  }

  add(id: number, request: RenewalRequest): void {
    this.#leases.set(id, { request, timer: this.#later(id, request.ttlMs * (2 / 9)) })
  }

  remove(id: number): void {
    clearTimeout(this.#leases.get(id)?.timer)
    this.#leases.delete(id)
  }

  /** Renews it now. @throws where Redis can't be asked */
  async ask(id: number): Promise<LeaseState> {
    const lease = this.#leases.get(id)
    if (lease === undefined) return 'lost'
    const { leases, owners, cancelled, holder, ttlMs, submission, record, until } = lease.request
    const askedMs = this.#nowMs()
    const keys = [...leases, ...owners, cancelled]
    const state = await runScript(this.#redis, renewLease, keys, [holder, ttlMs, submission, record])
    if (state === 0) return 'lost'
    const later = writeUntilMs(askedMs, ttlMs)
    if (later > Atomics.load(until, 0)) Atomics.store(until, 0, later)
    return state === 2 ? 'cancelled' : 'kept'
  }

  #later(id: number, ms: number): NodeJS.Timeout {
    return setTimeout(() => void this.#renew(id), ms)
  }

  async #renew(id: number): Promise<void> {
    const ttlMs = this.#leases.get(id)?.request.ttlMs ?? 0
    let nextMs = ttlMs * (2 / 9)
    try {
      const state = await this.ask(id)
      if (state !== 'kept' && this.#leases.has(id)) this.#tell(id, state)
      if (state === 'lost') return
    } catch {
      // How long Redis may be away is said by the time until which the holder may write.
      nextMs = ttlMs / 30
    }
    const lease = this.#leases.get(id)
    if (lease !== undefined) lease.timer = this.#later(id, nextMs)
  }
}
