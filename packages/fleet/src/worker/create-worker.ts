import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { InvalidError, silentLogger } from '@disk-image/core'
import { Queue, Worker } from 'bullmq'
import { ImageCache } from '../cache/image-cache.ts'
import type { CacheCounts } from '../cache/image-cache.ts'
import { WorkerStoppingError } from '../errors.ts'
import { isFleetName } from '../jobs/check-job.ts'
import type { JobEnvelope, JobResult } from '../jobs/job.ts'
import { LeaseStore } from '../lease/lease-store.ts'
import { HostLimits } from '../limits/host-limits.ts'
import { Permits } from '../limits/permits.ts'
import { checkRedis, connectBriefly, engineOptions } from '../redis/connection.ts'
import { FleetKeys } from '../redis/keys.ts'
import { listenForCancellation, startHeartbeat } from './heartbeat.ts'
import { createMetrics } from './metrics.ts'
import type { FleetWorkerOptions } from './options.ts'
import { processJob } from './process-job.ts'
import type { EngineJob } from './process-job.ts'
import { Clouds } from './worker-context.ts'
import type { WorkerContext } from './worker-context.ts'

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
  const { connection, leaseMs = 15_000, maxCrashes = 3, logger = silentLogger } = options
  const backends = Object.keys(options.backends)
  checkOptions(options, leaseMs, backends)
  const host = options.host ?? hostname()
  const name = options.name ?? `${host}-${process.pid}`
  const keys = new FleetKeys(options.prefix)
  const redis = connectBriefly(connection, Math.max(leaseMs / 3, 2000))
  const leases = new LeaseStore(redis, keys, leaseMs, (reason) => {
    logger.error("A volume may be another worker's by now; ending at once", { reason })
    ;(options.onOverdue ?? endAtOnce)(reason)
  })
  const limits = new HostLimits(options.limits)
  const cache = options.cache === undefined ? undefined : new ImageCache(options.cache, leases, host)
  const running: WorkerContext['running'] = new Map()
  const clouds = new Clouds(options.clouds ?? {})
  const metrics = createMetrics(options.meter, { host, worker: name }, () => ({
    activeJobs: running.size,
    bytesInFlight: limits.bytesInFlight,
    cache: cache?.counts,
  }))
  const context: WorkerContext = {
    name,
    host,
    keys,
    redis,
    leases,
    permits: new Permits(redis, keys, leaseMs),
    clouds,
    backends: options.backends,
    limits,
    cache,
    rbd: options.rbd,
    imageUtils: options.imageUtils,
    logger,
    metrics,
    running,
    suspect: undefined,
  }
  try {
    await cache?.prepare()
    await checkRedis(redis, connection)
  } catch (error) {
    redis.disconnect()
    throw error
  }
  const listener = listenForCancellation(connection, keys, running)
  const heartbeat = startHeartbeat(context, leaseMs)
  const engines: Worker[] = []
  const close = async (graceMs: number | undefined): Promise<void> => {
    const closing = Promise.all(engines.map((engine) => engine.close()))
    const grace = new AbortController()
    if (graceMs !== undefined) {
      void delay(graceMs, undefined, { signal: grace.signal }).then(
        () => running.forEach(({ controller }) => controller.abort(new WorkerStoppingError())),
        () => undefined,
      )
    }
    await closing
    grace.abort()
    await heartbeat.stop()
    listener.disconnect()
    redis.disconnect()
    metrics.close()
    await clouds.close()
  }
  try {
    await heartbeat.begun
    await cache?.clean(keepPartialMs)
    for (const backend of backends) {
      await limitBackend(options, keys, backend)
      const engine = new Worker<JobEnvelope, JobResult>(
        keys.queue(backend),
        (job, token) => processJob(context, job as EngineJob, token),
        {
          connection: engineOptions(connection),
          prefix: keys.prefix,
          name,
          concurrency: limits.jobs,
          lockDuration: leaseMs,
          stalledInterval: Math.max(leaseMs / 3, 500),
          maxStalledCount: maxCrashes,
          runRetryDelay: Math.min(leaseMs / 3, 1000),
          drainDelay: 2,
        },
      )
      engine.on('error', (error) => logger.debug('Engine', { error: error.message }))
      engines.push(engine)
    }
  } catch (error) {
    await close(0)
    throw error
  }
  return {
    name,
    host,
    get activeJobs(): number {
      return running.size
    },
    get cacheCounts(): CacheCounts | undefined {
      return cache?.counts
    },
    close: (how = {}) => close(how.graceMs),
    cleanCache: async () => (await cache?.clean()) ?? [],
    [Symbol.asyncDispose]: () => close(0),
  }
}

/**
 * Ends the process before it does anything else. Even taking back what was written would touch what is another's; the
 * tools that it had started end with it.
 */
function endAtOnce(): void {
  process.kill(process.pid, 'SIGKILL')
}

function checkOptions(options: FleetWorkerOptions, leaseMs: number, backends: readonly string[]): void {
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
