import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { destinationsOf } from '../jobs/identity.ts'
import type { JobEnvelope, JobResult } from '../jobs/job.ts'
import type { FleetKeys } from '../redis/keys.ts'
import { acquireLease, runScript } from '../redis/scripts.ts'
import { Lease } from './lease.ts'

/** What a lease is asked for with. */
interface LeaseRequest {
  readonly destinations: readonly string[]
  readonly jobId: string
  readonly submission: string
}

/** A lease, or how long it may take until it can be had. */
type LeaseAnswer = { readonly lease: Lease } | { readonly busyMs: number }

/** Gives leases on destinations, with a fencing token that only grows. */
export class LeaseStore {
  readonly #redis: Redis
  readonly #keys: FleetKeys
  readonly #ttlMs: number
  readonly #onOverdue: (reason: string) => void

  /**
   * @param ttlMs after how long without a renewal a destination is free for others
   * @param onOverdue called where this process is still at what may be another's
   */
  constructor(redis: Redis, keys: FleetKeys, ttlMs: number, onOverdue: (reason: string) => void) {
    this.#redis = redis
    this.#onOverdue = onOverdue
    this.#keys = keys
    this.#ttlMs = ttlMs
  }

  async acquire(request: LeaseRequest): Promise<LeaseAnswer> {
    // A holder is one run of one job: not even the same worker inherits what an earlier run lost.
    const holder = randomUUID()
    const leases = request.destinations.map((destination) => this.#keys.lease(destination))
    const askedMs = performance.now()
    const answer = (await runScript(
      this.#redis,
      acquireLease,
      [...leases, this.#keys.fence()],
      [holder, this.#ttlMs],
    )) as [number, number]
    const [token, busyMs] = answer
    if (token === 0) return { busyMs: Math.max(busyMs, 0) }
    return {
      lease: new Lease({
        redis: this.#redis,
        leases,
        outcomes: request.destinations.map((destination) => this.#keys.outcome(destination)),
        cancelled: this.#keys.cancelled(request.jobId),
        submission: request.submission,
        holder,
        token,
        ttlMs: this.#ttlMs,
        askedMs,
        onOverdue: this.#onOverdue,
      }),
    }
  }
}

/** How long the outcome of a destination is remembered: longer than a job is kept. */
export const keepOutcomeMs: number = 35 * 24 * 3600 * 1000

/** What was done last to a destination. */
interface Outcome {
  readonly jobId: string
  readonly submission: string
  readonly result: JobResult
}

/** Who filled a job's destinations last; undefined where nobody is known, or not one and the same job. */
export async function lastOutcome(
  redis: Pick<Redis, 'get'>,
  keys: FleetKeys,
  job: JobEnvelope['job'],
): Promise<Outcome | undefined> {
  const texts = await Promise.all(
    destinationsOf(job).map((destination) => redis.get(keys.outcome(destination))),
  )
  const [first] = texts
  if (first === null || first === undefined || texts.some((text) => text !== first)) return undefined
  return JSON.parse(first) as Outcome
}
