import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { JobCancelledError, LeaseLostError } from '../errors.ts'
import {
  commitOutcome,
  releaseLease,
  renewLease,
  runScript,
  type FleetKeys,
  acquireLease,
} from '../redis/scripts.ts'
import { destinationsOf } from '../jobs/identity.ts'
import type { JobEnvelope, JobResult } from '../jobs/job.ts'

/** What a lease is made of. */
interface LeaseInit {
  readonly redis: Redis
  readonly leases: readonly string[]
  readonly outcomes: readonly string[]
  readonly cancelled: string
  readonly submission: string
  readonly holder: string
  readonly token: number
  readonly ttlMs: number
  /** When it was asked for, by this process's own clock. */
  readonly askedMs: number
  /** Called where the destination may be another's while this process is still at it. */
  readonly onOverdue: (reason: string) => void
}

/** Milliseconds that a writer is given to stop, and to take back what it wrote, before Redis lets another one in. */
function marginOf(ttlMs: number): number {
  return ttlMs / 3
}

/** The part of the time by which two clocks may differ in their speed. */
const drift = 0.01

/**
 * The right to write some destinations, for as long as Redis can be asked to prolong it.
 *
 * The deadline runs on this process's monotonic clock, from the moment before Redis was asked: it is over here
 * before it can be over there. `signal` is aborted at the deadline.
 *
 * Ending well takes a moment: what was written is taken back. Where that may touch what is another's by now, because
 * the process was stopped for a while, Redis has forgotten, or the end takes too long, `onOverdue` is called first.
 */
export class Lease {
  /** Larger than that of every holder before. */
  readonly token: number
  readonly #init: LeaseInit
  readonly #controller = new AbortController()
  #deadlineMs: number
  /** From here on the destination may be another's. */
  #overMs: number
  #renewal: NodeJS.Timeout | undefined
  #deadline: NodeJS.Timeout | undefined
  #over: NodeJS.Timeout | undefined
  #ended = false

  constructor(init: LeaseInit) {
    this.#init = init
    this.token = init.token
    this.#deadlineMs = 0
    this.#overMs = 0
    this.#prolong(init.askedMs)
    this.#schedule()
  }

  /** Aborted with a {@link LeaseLostError}, or with a {@link JobCancelledError} where the job was cancelled. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /**
   * Whether writing may go on. A process that was stopped for a while learns it here before its timers run.
   *
   * @throws {LeaseLostError | JobCancelledError}
   */
  check(): void {
    if (performance.now() >= this.#overMs) this.#overdue('the process was stopped for longer than it')
    if (performance.now() >= this.#deadlineMs) this.#lose('it could not be renewed in time')
    this.signal.throwIfAborted()
  }

  /** Ends the work as cancelled. */
  cancel(): void {
    this.#controller.abort(new JobCancelledError())
  }

  /**
   * Notes the outcome, while the lease is held.
   *
   * @throws {LeaseLostError} where it is not: then the outcome is not the last one
   */
  async commit(outcome: string, keepMs: number): Promise<void> {
    this.check()
    const { redis, leases, outcomes, holder } = this.#init
    const kept = await runScript(redis, commitOutcome, [...leases, ...outcomes], [holder, outcome, keepMs])
    if (kept !== 1) this.#overdue('another worker may have it')
    this.signal.throwIfAborted()
  }

  /** Gives it back. A Redis that can't be reached forgets it by itself. */
  async release(): Promise<void> {
    this.#end()
    clearTimeout(this.#over)
    const { redis, leases, holder } = this.#init
    await runScript(redis, releaseLease, leases, [holder]).catch(() => undefined)
  }

  #prolong(askedMs: number): void {
    const { ttlMs } = this.#init
    this.#overMs = askedMs + ttlMs * (1 - drift)
    this.#deadlineMs = this.#overMs - marginOf(ttlMs)
    clearTimeout(this.#deadline)
    clearTimeout(this.#over)
    const nowMs = performance.now()
    // Timers run in the order of their times: after a stop of the process the one that is due later is asked first.
    this.#deadline = setTimeout(() => this.#expire(), Math.max(0, this.#deadlineMs - nowMs))
    this.#over = setTimeout(() => this.#overdue('its work could not be ended in time'), this.#overMs - nowMs)
  }

  #schedule(): void {
    const everyMs = (this.#init.ttlMs - marginOf(this.#init.ttlMs)) / 3
    this.#renewal = setTimeout(() => {
      void this.#renew().finally(() => {
        if (!this.#ended) this.#schedule()
      })
    }, everyMs)
  }

  async #renew(): Promise<void> {
    const { redis, leases, cancelled, holder, ttlMs, submission } = this.#init
    const askedMs = performance.now()
    try {
      const state = await runScript(redis, renewLease, [...leases, cancelled], [holder, ttlMs, submission])
      if (this.#ended) return
      if (state === 0) return this.#overdue('another worker may have it')
      if (state === 2) this.cancel()
      this.#prolong(askedMs)
    } catch {
      // Redis can't be asked: the deadline says how long that may last.
    }
  }

  #expire(): void {
    if (performance.now() >= this.#overMs) this.#overdue('the process was stopped for longer than it')
    else this.#lose('it could not be renewed in time')
  }

  #overdue(reason: string): void {
    clearTimeout(this.#over)
    this.#init.onOverdue(reason)
    this.#lose(reason)
  }

  #lose(reason: string): void {
    this.#end()
    this.#controller.abort(new LeaseLostError({ reason }))
  }

  #end(): void {
    this.#ended = true
    clearTimeout(this.#renewal)
    clearTimeout(this.#deadline)
  }
}

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
