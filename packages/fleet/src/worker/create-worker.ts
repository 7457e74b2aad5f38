import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { InvalidError, silentLogger } from '@disk-image/core'
import { Queue, Worker } from 'bullmq'
import { ImageCache } from '../cache/image-cache.ts'
import type { CacheCounts } from '../cache/image-cache.ts'
import { WorkerStoppingError } from '../errors.ts'
import { isFleetName } from '../jobs/check-job.ts'
import type { JobEnvelope, JobResult } from '../jobs/job.ts'
import { LeaseStore } from '../lease/lease.ts'
import { describeOwner } from '../lease/owner.ts'
import { Renewer } from '../lease/renewer.ts'
import { HostLimits, Permits } from '../limits/host-limits.ts'
import { checkRedis, connectBriefly, engineOptions } from '../redis/connection.ts'
import { FleetKeys } from '../redis/scripts.ts'
import { listenForCancellation, startHeartbeat } from './heartbeat.ts'
import { createMetrics } from './metrics.ts'
import { type FleetWorkerOptions, Clouds, type WorkerContext } from './worker-context.ts'
import { processJob } from './process-job.ts'
import type { EngineJob } from './process-job.ts'

/** For how long a broken download waits to be continued. */
const keepPartialMs = 24 * 3600 * 1000

/** A worker that runs. */
export interface FleetWorker extends AsyncDisposable {
  readonly name: string
  readonly host: string
  /** Jobs that it is at. */
  readonly activeJobs: number
  /** What the cache was asked; undefined without one. */
  readonly cacheCounts: CacheCounts | undefined
  /**
   * Takes no more jobs, waits for those it is at, and gives back what isn't done in time.
   *
   * @param options.graceMs how long it waits @default no end
   */
  close(options?: { readonly graceMs?: number | undefined }): Promise<void>
  /** Removes what broken downloads left in the cache; to be called before `close`. */
  cleanCache(): Promise<string[]>
}

/**
 * Starts a worker: it takes jobs of its back ends from Redis until it is closed.
 *
 * Resolves once Redis answers and the worker has said that it is there.
 *
 * @throws {InvalidError} for an option that is wrong
 * @throws {RedisUnreachableError}
 */
export async function createWorker(options: FleetWorkerOptions): Promise<FleetWorker> {
  const { leaseMs = 15_000 } = options
  checkOptions(options, leaseMs)
  const worker = new RunningWorker(options, Math.ceil(leaseMs))
  await worker.begin()
  return worker
}

class RunningWorker implements FleetWorker {
  readonly #options: FleetWorkerOptions
  readonly #leaseMs: number
  readonly #context: WorkerContext
  readonly #renewer: Renewer
  readonly #engines: Worker[] = []
  #listener: { disconnect(): void } | undefined
  #heartbeat: ReturnType<typeof startHeartbeat> | undefined

  constructor(options: FleetWorkerOptions, leaseMs: number) {
    const { connection, host = hostname(), name = `${host}-${process.pid}`, logger = silentLogger } = options
    this.#options = options
    this.#leaseMs = leaseMs
    const keys = new FleetKeys(options.prefix)
    const limits = new HostLimits(options.limits)
    const redis = connectBriefly(connection, Math.max(leaseMs / 3, 2000))
    this.#renewer = new Renewer(redis, { connection, timeoutMs: Math.max(leaseMs / 6, 500) })
    const leases = new LeaseStore({
      redis,
      keys,
      renewer: this.#renewer,
      ttlMs: leaseMs,
      onOverdue: (reason) => {
        logger.error("A volume may be another worker's by now; ending at once", { reason })
        ;(options.onOverdue ?? endAtOnce)(reason)
      },
      describe: () => describeOwner(options.onOverdue === undefined),
    })
    const cache = options.cache === undefined ? undefined : new ImageCache(options.cache, leases, host)
    const running: WorkerContext['running'] = new Map()
    const metrics = createMetrics(options.meter, { host, worker: name }, () => ({
      activeJobs: running.size,
      bytesInFlight: limits.bytesInFlight,
      cache: cache?.counts,
    }))
    this.#context = {
      name,
      host,
      keys,
      redis,
      leases,
      permits: new Permits(redis, keys, leaseMs),
      clouds: new Clouds(options.clouds ?? {}),
      backends: options.backends,
      limits,
      cache,
      rbd: options.rbd,
      passphrases: options.passphrases ?? {},
      imageUtils: options.imageUtils,
      logger,
      metrics,
      running,
      suspect: undefined,
    }
  }

  /** @throws {RedisUnreachableError} */
  async begin(): Promise<void> {
    const { cache, redis, keys, running } = this.#context
    const { connection, backends } = this.#options
    try {
      await cache?.prepare()
      await checkRedis(redis, connection)
    } catch (error) {
      redis.disconnect()
      await this.#renewer.close()
      throw error
    }
    this.#listener = listenForCancellation(connection, keys, running)
    this.#heartbeat = startHeartbeat(this.#context, this.#leaseMs)
    try {
      await this.#heartbeat.begun
      await cache?.clean(keepPartialMs)
      for (const backend of Object.keys(backends)) await this.#serve(backend)
    } catch (error) {
      await this.close({ graceMs: 0 })
      throw error
    }
  }

  async #serve(backend: string): Promise<void> {
    const { name, keys, limits, logger } = this.#context
    const { connection, maxCrashes = 3 } = this.#options
    await limitBackend(this.#options, keys, backend)
    const engine = new Worker<JobEnvelope, JobResult>(
      keys.queue(backend),
      (job, token) => processJob(this.#context, job as EngineJob, token),
      {
        connection: engineOptions(connection),
        prefix: keys.prefix,
        name,
        concurrency: limits.jobs,
        lockDuration: this.#leaseMs,
        // Redis takes no fractions, and would find nobody's job without a word.
        stalledInterval: Math.ceil(Math.max(this.#leaseMs / 3, 500)),
        maxStalledCount: maxCrashes,
        runRetryDelay: Math.min(this.#leaseMs / 3, 1000),
        drainDelay: 2,
      },
    )
    engine.on('error', (error) => logger.debug('Engine', { error: error.message }))
    this.#engines.push(engine)
  }

  get name(): string {
    return this.#context.name
  }

  get host(): string {
    return this.#context.host
  }

  get activeJobs(): number {
    return this.#context.running.size
  }

  get cacheCounts(): CacheCounts | undefined {
    return this.#context.cache?.counts
  }

  async close({ graceMs }: { readonly graceMs?: number | undefined } = {}): Promise<void> {
    const { running, redis, metrics, clouds } = this.#context
    const closing = Promise.all(this.#engines.map((engine) => engine.close()))
    const grace = new AbortController()
    if (graceMs !== undefined) {
      void delay(graceMs, undefined, { signal: grace.signal }).then(
        () => running.forEach(({ controller }) => controller.abort(new WorkerStoppingError())),
        () => undefined,
      )
    }
    await closing
    grace.abort()
    await this.#heartbeat?.stop()
    this.#listener?.disconnect()
    await this.#renewer.close()
    redis.disconnect()
    metrics.close()
    await clouds.close()
  }

  async cleanCache(): Promise<string[]> {
    return (await this.#context.cache?.clean()) ?? []
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close({ graceMs: 0 })
  }
}

/**
 * Ends the process before it does anything else. Even taking back what was written would touch what is another's; the
 * tools that it had started end with it.
 */
function endAtOnce(): void {
  process.kill(process.pid, 'SIGKILL')
}

function checkOptions(options: FleetWorkerOptions, leaseMs: number): void {
  const backends = Object.keys(options.backends)
  const demand = (holds: boolean, reason: string): void => {
    if (!holds) throw new InvalidError({ reason })
  }
  demand(Number.isFinite(leaseMs) && leaseMs >= 1000, 'The option leaseMs must be at least 1000.')
  demand(backends.length > 0, 'A worker needs a back end to serve: name one in backends.')
  for (const name of [...backends, ...Object.keys(options.clouds ?? {})]) {
    demand(isFleetName(name), `${JSON.stringify(name)} can't be a name: use letters, digits, - and _.`)
  }
}

/** The engine itself keeps to how many jobs a back end takes, so that none is fetched in vain. */
async function limitBackend(options: FleetWorkerOptions, keys: FleetKeys, backend: string): Promise<void> {
  const maxJobs = options.backends[backend]?.maxJobs
  const queue = new Queue(keys.queue(backend), {
    connection: engineOptions(options.connection),
    prefix: keys.prefix,
  })
  queue.on('error', () => undefined)
  try {
    await (maxJobs === undefined ? queue.removeGlobalConcurrency() : queue.setGlobalConcurrency(maxJobs))
  } finally {
    await queue.close()
  }
}
