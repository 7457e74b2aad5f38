import { randomUUID } from 'node:crypto'
import { InvalidError } from '@disk-image/core'
import type { Redis } from 'ioredis'
import { FleetJobNotFoundError } from '../errors.ts'
import { checkJob, isFleetName } from '../jobs/check-job.ts'
import { backendOf, backendOfId, jobIdOf } from '../jobs/identity.ts'
import type { FleetJob } from '../jobs/job.ts'
import { lastOutcome } from '../lease/lease-store.ts'
import { checkRedis, connectBriefly } from '../redis/connection.ts'
import type { FleetConnection } from '../redis/connection.ts'
import { FleetKeys } from '../redis/keys.ts'
import { liveWorkers, runScript } from '../redis/scripts.ts'
import type { WorkerView } from '../worker/heartbeat.ts'
import type { EngineJob } from '../worker/process-job.ts'
import { followJob } from './follow-job.ts'
import { viewOf } from './job-view.ts'
import type { FleetJobState, JobView } from './job-view.ts'
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

/** What a submission came to. */
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

/** Opens the fleet. Nothing is sent before the first call. */
export function createFleet(options: FleetOptions): Fleet {
  const { attempts = 8, backoffMs = 2000, keepSeconds = 30 * 24 * 3600 } = options
  if (!Number.isSafeInteger(attempts) || attempts < 1) {
    throw new InvalidError({ reason: 'The option attempts must be a whole number above 0.' })
  }
  const keys = new FleetKeys(options.prefix)
  const queues = new Queues(options.connection, keys)
  let client: Redis | undefined
  const redis = (): Redis => (client ??= connectBriefly(options.connection, 10_000))

  async function find(id: string): Promise<JobView> {
    const backend = backendOfId(id)
    const queue = backend === undefined ? undefined : queues.of(backend)
    // The state first: what a job in its last state came to is then read whole.
    const state = await queue?.getJobState(id)
    const job = await queue?.getJob(id)
    if (backend === undefined || state === undefined || job === undefined) throw new FleetJobNotFoundError(id)
    return viewOf(id, backend, job as EngineJob, state)
  }

  /** Whether what is in the queue under this id stands for a new submission. */
  async function standsFor(job: FleetJob, id: string, again: boolean): Promise<boolean> {
    const found = await find(id).catch((error: unknown) => {
      if (error instanceof FleetJobNotFoundError) return undefined
      throw error
    })
    if (found === undefined) return false
    switch (found.state) {
      case 'waiting':
      case 'delayed':
      case 'active':
        return true
      case 'failed':
      case 'cancelled':
        break
      case 'completed':
        if (!again && (await lastOutcome(redis(), keys, job))?.jobId === id) return true
    }
    await (await queues.of(backendOf(job)).getJob(id))?.remove()
    return false
  }

  const submit: Fleet['submit'] = async (given, { priority = 1000, again = false } = {}) => {
    const job = checkJob(given)
    if (!Number.isSafeInteger(priority) || priority < 0 || priority > 2_000_000) {
      throw new InvalidError({ reason: 'The priority must be a whole number from 0 to 2000000.' })
    }
    const id = jobIdOf(job)
    if (await standsFor(job, id, again)) return { id, isNew: false }
    const backend = backendOf(job)
    await redis().sadd(keys.backends(), backend)
    const submission = randomUUID()
    await queues.of(backend).add(
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
    const taken = await queues.of(backend).getJob(id)
    return { id, isNew: taken?.data.submission === submission }
  }

  const backends: Fleet['backends'] = async () => (await redis().smembers(keys.backends())).toSorted()

  const list: Fleet['list'] = async ({ backend, states, limit = 100 } = {}) => {
    if (backend !== undefined && !isFleetName(backend)) {
      throw new InvalidError({ reason: `${JSON.stringify(backend)} can't be the name of a back end.` })
    }
    const views: JobView[] = []
    for (const name of backend === undefined ? await backends() : [backend]) {
      views.push(...(await queues.list(name, states, limit)))
    }
    return views
  }

  const cancel: Fleet['cancel'] = async (id) => {
    const view = await find(id)
    if (['completed', 'failed', 'cancelled'].includes(view.state)) return false
    const queue = queues.of(view.backend)
    const job = await queue.getJob(id)
    if (job === undefined) return false
    // First the note, then the call: who takes the job between them finds the note.
    await redis().set(keys.cancelled(id), job.data.submission, 'EX', 7 * 24 * 3600)
    await redis().publish(keys.cancelChannel(), id)
    const removed =
      view.state === 'active'
        ? false
        : await job.remove().then(
            () => true,
            () => false,
          )
    return (
      removed ||
      (await find(id).then(
        ({ state }) => state !== 'completed',
        () => true,
      ))
    )
  }

  const follow: Fleet['follow'] = (id, { signal } = {}) => followJob(queues, id, () => find(id), signal)

  return {
    check: () => checkRedis(redis(), options.connection),
    submit,
    show: find,
    list,
    counts: (backend) => queues.counts(backend, backends),
    follow,
    wait: async (id, how) => {
      let last: JobView | undefined
      for await (const view of follow(id, how)) last = view
      if (last === undefined) throw new FleetJobNotFoundError(id)
      return last
    },
    cancel,
    workers: async () => {
      const texts = (await runScript(redis(), liveWorkers, [keys.workers()], [])) as string[]
      return texts.map((text) => JSON.parse(text) as WorkerView)
    },
    backends,
    close,
    [Symbol.asyncDispose]: close,
  }

  async function close(): Promise<void> {
    client?.disconnect()
    await queues.close()
  }
}
