import type { Redis } from 'ioredis'
import { JobCancelledError } from '../errors/job-cancelled-error.ts'
import { LeaseLostError } from '../errors/lease-lost-error.ts'
import { runScript } from '../redis/run-script.ts'
import { commitOutcome, releaseLease, renewLease } from '../redis/scripts.ts'

/** What a lease is made of. */
export interface LeaseInit {
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
}

/** Milliseconds that a writer is given to stop before Redis lets another one in. */
export function marginOf(ttlMs: number): number {
  return Math.min(1000, ttlMs / 3) + ttlMs / 100
}

/**
 * The right to write some destinations, for as long as Redis can be asked to prolong it.
 *
 * The deadline runs on this process's monotonic clock, from the moment before Redis was asked: it is over here
 * before it can be over there. `signal` is aborted at the deadline, and at once when Redis says that the lease is
 * another's.
 */
export class Lease {
  /** Larger than that of every holder before. */
  readonly token: number
  readonly #init: LeaseInit
  readonly #controller = new AbortController()
  #deadlineMs: number
  #renewal: NodeJS.Timeout | undefined
  #deadline: NodeJS.Timeout | undefined
  #ended = false

  constructor(init: LeaseInit) {
    this.#init = init
    this.token = init.token
    this.#deadlineMs = this.#deadlineAfter(init.askedMs)
    this.#watch()
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
    if (kept !== 1) this.#lose('another worker has it')
    this.signal.throwIfAborted()
  }

  /** Gives it back. A Redis that can't be reached forgets it by itself. */
  async release(): Promise<void> {
    this.#end()
    const { redis, leases, holder } = this.#init
    await runScript(redis, releaseLease, leases, [holder]).catch(() => undefined)
  }

  #deadlineAfter(askedMs: number): number {
    return askedMs + this.#init.ttlMs - marginOf(this.#init.ttlMs)
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
      if (state === 0) return this.#lose('another worker has it')
      if (state === 2) this.cancel()
      this.#deadlineMs = this.#deadlineAfter(askedMs)
      this.#watch()
    } catch {
      // Redis can't be asked: the deadline says how long that may last.
    }
  }

  #watch(): void {
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(
      () => this.#lose('it could not be renewed in time'),
      Math.max(0, this.#deadlineMs - performance.now()),
    )
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
