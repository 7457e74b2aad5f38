import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { WriteRight } from '@disk-image/core'
import { createBootClock } from '@disk-image/host'
import type { Redis } from 'ioredis'
import { JobCancelledError, LeaseLostError } from '../errors.ts'
import { commitOutcome, releaseLease, runScript, type FleetKeys, acquireLease } from '../redis/scripts.ts'
import { destinationsOf } from '../jobs/identity.ts'
import type { JobEnvelope, JobResult } from '../jobs/job.ts'
import { type Owner, parseOwner } from './owner.ts'
import { type LeaseState, marginOf, type RenewalRequest, writeUntilMs } from './renewals.ts'
import type { Renewer } from './renewer.ts'

/** What a lease is made of. */
interface LeaseInit {
  readonly redis: Redis
  readonly renewer: Renewer
  readonly request: RenewalRequest
  readonly outcomes: readonly string[]
  readonly token: number
  readonly owners: readonly Owner[]
  /** Called where the destination may be another's while this process is still at it. */
  readonly onOverdue: (reason: string) => void
}

const stopped = 'the process was stopped for longer than it'

/**
 * The right to write some destinations, for as long as Redis can be asked to prolong it. Its last third is for ending:
 *
 * - `signal` is aborted at its beginning, where Redis did not answer: what was written is taken back.
 * - In the middle of it `until` is over: no write is begun. One may last to the end.
 * - At the end it may be another's. Whoever is still at it then is ended by `onOverdue`.
 *
 * The times are this machine's, from the moment before Redis was asked: each is over here before it can be over there.
 * A process that was stopped meanwhile, or got no time, asks before anything else. Where nobody has had the lease
 * since, it goes on.
 */
export class Lease implements WriteRight {
  /** Larger than that of every holder before. */
  readonly token: number
  /** Who had the destinations before, and has not given them back. */
  readonly formerOwners: readonly Owner[]
  readonly until: BigInt64Array<SharedArrayBuffer>
  readonly #init: LeaseInit
  readonly #marginMs: number
  readonly #nowMs = createBootClock()
  readonly #controller = new AbortController()
  readonly #id: number
  #deadline: NodeJS.Timeout | undefined
  #over: NodeJS.Timeout | undefined
  #confirming: Promise<void> | undefined
  #ended = false

  constructor(init: LeaseInit) {
    this.#init = init
    this.token = init.token
    this.formerOwners = init.owners
    this.until = init.request.until
    this.#marginMs = marginOf(init.request.ttlMs)
    this.#id = init.renewer.add(init.request, (state) => this.#learn(state))
    this.#awaitDeadline()
  }

  /** Aborted with a {@link LeaseLostError}, or with a {@link JobCancelledError} where the job was cancelled. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Whether the destination may be another's by now. */
  get isOver(): boolean {
    return this.#nowMs() >= this.#untilMs + this.#marginMs
  }

  /**
   * Whether writing may go on, for who can't wait for an answer. A process that was stopped for a while learns it here
   * before its timers run.
   *
   * @throws {LeaseLostError | JobCancelledError}
   */
  check(): void {
    this.signal.throwIfAborted()
    if (this.isOver) this.#overdue(stopped)
    else if (this.#nowMs() >= this.#untilMs) this.#lose('it could not be renewed in time')
    this.signal.throwIfAborted()
  }

  /**
   * The same, for who can: where the time is over, Redis is asked whether it is still this one's.
   *
   * @throws {LeaseLostError | JobCancelledError}
   */
  async ensure(): Promise<void> {
    this.signal.throwIfAborted()
    if (this.#nowMs() >= this.#untilMs) await this.confirm()
  }

  /** Asks Redis. @throws {LeaseLostError | JobCancelledError} */
  async confirm(): Promise<void> {
    this.signal.throwIfAborted()
    this.#confirming ??= this.#confirm().finally(() => {
      this.#confirming = undefined
    })
    await this.#confirming
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
    await this.ensure()
    const { redis, request, outcomes } = this.#init
    const keys = [...request.leases, ...outcomes]
    const kept = await runScript(redis, commitOutcome, keys, [request.holder, outcome, keepMs])
    if (kept !== 1) this.#overdue('another worker may have it')
    this.signal.throwIfAborted()
  }

  /** Gives it back. A Redis that can't be reached forgets it by itself. */
  async release(): Promise<void> {
    this.#end()
    clearTimeout(this.#over)
    const { redis, request } = this.#init
    const { leases, owners, holder, record } = request
    await runScript(redis, releaseLease, [...leases, ...owners], [holder, record]).catch(() => undefined)
  }

  get #untilMs(): number {
    return Number(Atomics.load(this.until, 0))
  }

  #awaitDeadline(): void {
    const deadlineMs = this.#untilMs - this.#marginMs
    const wait = Math.max(0, deadlineMs - this.#nowMs())
    this.#deadline = setTimeout(() => void this.#meetDeadline(deadlineMs), wait)
  }

  async #meetDeadline(dueMs: number): Promise<void> {
    if (this.#untilMs - this.#marginMs <= this.#nowMs()) {
      // One that comes in time says that Redis has not answered; one that comes late, that nobody could ask.
      if (this.#nowMs() - dueMs < this.#marginMs / 2) return this.#lose('it could not be renewed in time')
      await this.confirm().catch(() => undefined)
    }
    if (!this.#ended) this.#awaitDeadline()
  }

  async #confirm(): Promise<void> {
    const patience = new AbortController()
    // While it holds there is no time to lose; afterwards nothing is written meanwhile.
    const leftMs = this.#untilMs - this.#nowMs()
    const patienceMs = leftMs > 0 ? Math.min(leftMs, this.#marginMs) : this.#marginMs * 3
    const state = await Promise.race([
      this.#init.renewer.ask(this.#id),
      delay(patienceMs, undefined, { signal: patience.signal }).catch(() => undefined),
    ])
    patience.abort()
    if (state !== undefined) this.#learn(state)
    else if (this.isOver) this.#overdue(stopped)
    else if (this.#nowMs() >= this.#untilMs) this.#lose('it could not be renewed in time')
  }

  #learn(state: LeaseState): void {
    if (this.#ended) return
    if (state === 'lost') this.#overdue('another worker may have it')
    if (state === 'cancelled') this.cancel()
  }

  #overdue(reason: string): void {
    clearTimeout(this.#over)
    this.#init.onOverdue(reason)
    this.#lose(reason)
  }

  #lose(reason: string): void {
    if (this.#ended) return
    this.#end()
    const leftMs = this.#untilMs + this.#marginMs - this.#nowMs()
    this.#over = setTimeout(() => this.#overdue('its work could not be ended in time'), Math.max(0, leftMs))
    this.#controller.abort(new LeaseLostError({ reason }))
  }

  #end(): void {
    this.#ended = true
    clearTimeout(this.#deadline)
    this.#init.renewer.remove(this.#id)
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

/** What a {@link LeaseStore} works with. */
export interface LeaseStoreInit {
  readonly redis: Redis
  readonly keys: FleetKeys
  readonly renewer: Renewer
  /** After how long without a renewal a destination is free for others. */
  readonly ttlMs: number
  /** Called where this process is still at what may be another's. */
  readonly onOverdue: (reason: string) => void
  /** What others are told of this process. */
  readonly describe: () => Promise<Owner>
}

/** Gives leases on destinations, with a fencing token that only grows. */
export class LeaseStore {
  readonly #init: LeaseStoreInit
  readonly #nowMs = createBootClock()
  #owner: Promise<Owner> | undefined

  constructor(init: LeaseStoreInit) {
    this.#init = init
  }

  async acquire({ destinations, jobId, submission }: LeaseRequest): Promise<LeaseAnswer> {
    const { redis, keys, renewer, ttlMs, onOverdue, describe } = this.#init
    // A holder is one run of one job: not even the same worker inherits what an earlier run lost.
    const holder = randomUUID()
    this.#owner ??= describe()
    const record = JSON.stringify({ ...(await this.#owner), holder })
    const leases = destinations.map((destination) => keys.lease(destination))
    const owners = destinations.map((destination) => keys.owner(destination))
    const askedMs = this.#nowMs()
    const [token, ...more] = (await runScript(
      redis,
      acquireLease,
      [...leases, ...owners, keys.fence()],
      [holder, ttlMs, record],
    )) as [number, ...unknown[]]
    if (token === 0) return { busyMs: Math.max(Number(more[0]), 0) }
    const until = new BigInt64Array(new SharedArrayBuffer(8))
    until[0] = writeUntilMs(askedMs, ttlMs)
    const cancelled = keys.cancelled(jobId)
    return {
      lease: new Lease({
        redis,
        renewer,
        request: { leases, owners, cancelled, submission, holder, record, ttlMs, until },
        outcomes: destinations.map((destination) => keys.outcome(destination)),
        token,
        owners: more.flatMap((said) => parseOwner(said) ?? []),
        onOverdue,
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
