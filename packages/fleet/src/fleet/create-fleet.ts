import { randomUUID } from 'node:crypto'
import { InvalidError } from '@disk-image/core'
import type { Redis } from 'ioredis'
import { FleetJobNotFoundError } from '../errors.ts'
import { checkJob, isFleetName } from '../jobs/check-job.ts'
import { backendOf, backendOfId, jobIdOf } from '../jobs/identity.ts'
import type { FleetJob } from '../jobs/job.ts'
import { lastOutcome } from '../lease/lease.ts'
import { checkRedis, connectBriefly, type FleetConnection } from '../redis/connection.ts'
import { FleetKeys, liveWorkers, runScript } from '../redis/scripts.ts'
import type { WorkerView } from '../worker/heartbeat.ts'
import type { EngineJob } from '../worker/process-job.ts'
import { viewOf, type FleetJobState, type JobView } from './job-view.ts'
import { Queues } from './queues.ts'

/** Options of {@link createFleet}. */
export interface FleetOptions {
  readonly connection: FleetConnection
  /** Of every key in Redis. @default 'disk-image' */
  readonly prefix?: string | undefined
  /** Runs of a job that may fail before it is given up. @default 8 */
  readonly attempts?: number | undefined
  /** Milliseconds before the second run; doubled with each, and spread. @default 2000 */
  readonly backoffMs?: number | undefined
  /** For how long jobs that ended are kept. @default 30 days */
  readonly keepSeconds?: number | undefined
}

/** How a job is submitted. */
export interface SubmitOptions {
  /** 1 is done first, 2000000 last; 0 before all of them. @default 1000 */
  readonly priority?: number | undefined
  /** Do it again, though it is done. @default false */
  readonly again?: boolean | undefined
}

/** The outcome of a submission. */
export interface Submitted {
  readonly id: string
  /** False: the same job was there already, waiting, running or done. */
  readonly isNew: boolean
}

/** Which jobs are listed. */
export interface ListOptions {
  readonly backend?: string | undefined
  readonly states?: readonly FleetJobState[] | undefined
  /** Most of each state and back end. @default 100 */
  readonly limit?: number | undefined
}

/** The fleet, as seen by whoever has jobs for it. */
export interface Fleet extends AsyncDisposable {
  /**
   * Asks Redis whether it is there. The other calls wait for it as long as it takes.
   *
   * @throws {RedisUnreachableError}
   */
  check(): Promise<void>
  /**
   * Puts a job into the queue. The same job is there once: what is submitted again is found, and only done again
   * where it failed, or where another job has filled its destination since.
   *
   * @throws {InvalidError} where a field is wrong or unknown
   */
  submit(job: FleetJob, options?: SubmitOptions): Promise<Submitted>
  /** @throws {FleetJobNotFoundError} */
  show(id: string): Promise<JobView>
  list(options?: ListOptions): Promise<JobView[]>
  /** How many jobs there are of each state; those that were cancelled count as failed. */
  counts(backend?: string): Promise<Readonly<Record<Exclude<FleetJobState, 'cancelled'>, number>>>
  /** The job's pictures, as they change, the last one when it ended. */
  follow(id: string, options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<JobView>
  /** Waits for the end. What end it was stands in the picture. */
  wait(id: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<JobView>
  /** Ends a job: a running one within a second, a waiting one at once. False: it had ended before. */
  cancel(id: string): Promise<boolean>
  /** Workers that are there. */
  workers(): Promise<WorkerView[]>
  /** Back ends that any worker or job has named. */
  backends(): Promise<string[]>
  close(): Promise<void>
}

const ended: ReadonlySet<FleetJobState> = new Set(['completed', 'failed', 'cancelled'])

/** Opens the fleet. Nothing is sent before the first call. */
export function createFleet(options: FleetOptions): Fleet {
  const { attempts = 8 } = options
  if (!Number.isSafeInteger(attempts) || attempts < 1) {
    throw new InvalidError({ reason: 'The option attempts must be a whole number above 0.' })
  }
  return new OpenFleet(options)
}

class OpenFleet implements Fleet {
  readonly #options: FleetOptions
  readonly #keys: FleetKeys
  readonly #queues: Queues
  #client: Redis | undefined

  constructor(options: FleetOptions) {
    this.#options = options
    this.#keys = new FleetKeys(options.prefix)
    this.#queues = new Queues(options.connection, this.#keys)
  }

  get #redis(): Redis {
    this.#client ??= connectBriefly(this.#options.connection, 10_000)
    return this.#client
  }

  check(): Promise<void> {
    return checkRedis(this.#redis, this.#options.connection)
  }

  async submit(given: FleetJob, { priority = 1000, again = false }: SubmitOptions = {}): Promise<Submitted> {
    const { attempts = 8, backoffMs = 2000, keepSeconds = 30 * 24 * 3600 } = this.#options
    const job = checkJob(given)
    if (!Number.isSafeInteger(priority) || priority < 0 || priority > 2_000_000) {
      throw new InvalidError({ reason: 'The priority must be a whole number from 0 to 2000000.' })
    }
    const id = jobIdOf(job)
    if (await this.#standsFor(job, id, again)) return { id, isNew: false }
    const backend = backendOf(job)
    await this.#redis.sadd(this.#keys.backends(), backend)
    const submission = randomUUID()
    const queue = this.#queues.of(backend)
    await queue.add(
      job.type,
      { version: 1, submission, job },
      {
        jobId: id,
        priority,
        attempts,
        backoff: { type: 'exponential', delay: backoffMs, jitter: 0.5 },
        removeOnComplete: { age: keepSeconds },
        removeOnFail: { age: keepSeconds },
        stackTraceLimit: 1,
        sizeLimit: 256 * 1024,
      },
    )
    // Of two that submit at the same moment, the queue takes one.
    const taken = await queue.getJob(id)
    return { id, isNew: taken?.data.submission === submission }
  }

  async show(id: string): Promise<JobView> {
    const backend = backendOfId(id)
    const queue = backend === undefined ? undefined : this.#queues.of(backend)
    // The state first: the outcome of a job in its last state is then read whole.
    const state = await queue?.getJobState(id)
    const job = await queue?.getJob(id)
    if (backend === undefined || state === undefined || job === undefined) throw new FleetJobNotFoundError(id)
    return viewOf(id, backend, job as EngineJob, state)
  }

  async list({ backend, states, limit = 100 }: ListOptions = {}): Promise<JobView[]> {
    if (backend !== undefined && !isFleetName(backend)) {
      throw new InvalidError({ reason: `${JSON.stringify(backend)} can't be the name of a back end.` })
    }
    const views: JobView[] = []
    for (const name of backend === undefined ? await this.backends() : [backend]) {
      views.push(...(await this.#queues.list(name, states, limit)))
    }
    return views
  }

  counts(backend?: string): ReturnType<Queues['counts']> {
    return this.#queues.counts(backend, () => this.backends())
  }

  follow(id: string, { signal }: { readonly signal?: AbortSignal | undefined } = {}): AsyncIterable<JobView> {
    return followJob(this.#queues, id, () => this.show(id), signal)
  }

  async wait(id: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<JobView> {
    let last: JobView | undefined
    for await (const view of this.follow(id, options)) last = view
    if (last === undefined) throw new FleetJobNotFoundError(id)
    return last
  }

  async cancel(id: string): Promise<boolean> {
    const view = await this.show(id)
    if (ended.has(view.state)) return false
    const job = await this.#queues.of(view.backend).getJob(id)
    if (job === undefined) return false
    // First the note, then the call: who takes the job between them finds the note.
    await this.#redis.set(this.#keys.cancelled(id), job.data.submission, 'EX', 7 * 24 * 3600)
    await this.#redis.publish(this.#keys.cancelChannel(), id)
    if (view.state !== 'active' && (await succeeds(job.remove()))) return true
    const now = await this.show(id).catch(() => undefined)
    return now?.state !== 'completed'
  }

  async workers(): Promise<WorkerView[]> {
    const texts = (await runScript(this.#redis, liveWorkers, [this.#keys.workers()], [])) as string[]
    return texts.map((text) => JSON.parse(text) as WorkerView)
  }

  async backends(): Promise<string[]> {
    return (await this.#redis.smembers(this.#keys.backends())).toSorted()
  }

  async close(): Promise<void> {
    this.#client?.disconnect()
    await this.#queues.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Whether what is in the queue under this id stands for a new submission; otherwise it is removed. */
  async #standsFor(job: FleetJob, id: string, again: boolean): Promise<boolean> {
    const found = await this.show(id).catch((error: unknown) => {
      if (error instanceof FleetJobNotFoundError) return undefined
      throw error
    })
    if (found === undefined) return false
    if (!ended.has(found.state)) return true
    if (found.state === 'completed' && !again) {
      const outcome = await lastOutcome(this.#redis, this.#keys, job)
      if (outcome?.jobId === id) return true
    }
    await (await this.#queues.of(backendOf(job)).getJob(id))?.remove()
    return false
  }
}

async function succeeds(act: Promise<unknown>): Promise<boolean> {
  return act.then(
    () => true,
    () => false,
  )
}

/** Milliseconds after which a job is looked at though no event came: the stream of events is of limited length. */
const lookAgainMs = 3000

/**
 * Pictures of a job whenever something happened to it, until it ended. A job that is removed while it is followed,
 * because it was cancelled before it began, ends with a picture that says so.
 */
async function* followJob(
  queues: Queues,
  id: string,
  find: () => Promise<JobView>,
  signal: AbortSignal | undefined,
): AsyncGenerator<JobView> {
  const backend = backendOfId(id)
  if (backend === undefined) throw new FleetJobNotFoundError(id)
  const events = queues.eventsOf(backend)
  let wake: () => void = () => undefined
  let happened = true
  const note = ({ jobId }: { jobId: string }): void => {
    if (jobId !== id) return
    happened = true
    wake()
  }
  const stop = (): void => wake()
  const names = [
    'active',
    'progress',
    'completed',
    'failed',
    'delayed',
    'waiting',
    'removed',
    'stalled',
  ] as const
  for (const name of names) events.on(name, note)
  signal?.addEventListener('abort', stop)
  let last: JobView | undefined
  try {
    for (;;) {
      signal?.throwIfAborted()
      happened = false
      const view = await find().catch((error: unknown) => {
        if (last === undefined || !(error instanceof FleetJobNotFoundError)) throw error
        return { ...last, state: 'cancelled' as const, endedAt: Date.now() }
      })
      last = view
      yield view
      if (['completed', 'failed', 'cancelled'].includes(view.state)) return
      if (!happened) await sleep((resolve) => (wake = resolve))
    }
  } finally {
    for (const name of names) events.off(name, note)
    signal?.removeEventListener('abort', stop)
  }
}

function sleep(onWake: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, lookAgainMs)
    onWake(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
