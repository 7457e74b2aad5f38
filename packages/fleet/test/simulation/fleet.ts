import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { ImageDownloadFailedError, silentLogger } from '@disk-image/core'
import type { ImageService, Target } from '@disk-image/core'
import { createImageUtils } from '@disk-image/image-utils'
import { BufferPool, Transfer, writeFully } from '@disk-image/io'
import {
  demand,
  Process,
  SimulatedDiskError,
  SimulatedFile,
  Simulation,
} from '@disk-image/testing/simulation'
import type { ScenarioResult } from '@disk-image/testing/simulation'
import { DelayedError, UnrecoverableError, WaitingError } from 'bullmq'
import { JobCancelledError } from '../../src/errors.ts'
import type { JobEnvelope, JobResult } from '../../src/jobs/job.ts'
import { LeaseStore } from '../../src/lease/lease.ts'
import { Renewer } from '../../src/lease/renewer.ts'
import { HostLimits, Permits } from '../../src/limits/host-limits.ts'
import { acquireLease, commitOutcome, FleetKeys } from '../../src/redis/scripts.ts'
import { processJob } from '../../src/worker/process-job.ts'
import type { EngineJob } from '../../src/worker/process-job.ts'
import { Clouds } from '../../src/worker/worker-context.ts'
import type { WorkerContext } from '../../src/worker/worker-context.ts'
import { RedisLink, RedisModel } from './redis-model.ts'

/** One run of a job, from the engine's hands. */
interface Run {
  readonly job: EngineEntry
  token: number
}

/** A job in the engine, which is Redis. */
interface EngineEntry {
  readonly id: string
  readonly data: JobEnvelope
  state: 'waiting' | 'active' | 'completed' | 'failed'
  /** By a worker's wall clock. */
  processAtMs: number
  lock: string | undefined
  lockedUntilMs: number
  attempts: number
  stalled: number
  ends: number
  /** Whether its outcome is noted under its lease. */
  done: boolean
}

/** What is in the cloud, and what is on each volume. */
interface Volume {
  readonly name: string
  content: Buffer
  newestToken: number
  /** Whose outcome was noted last. */
  lastDone: EngineEntry | undefined
}

const sizeBytes = 61_440
const most = { attempts: 5, crashes: 3, jobs: 3 }

/** Workers do jobs with a few volumes while they are stopped, killed, cut off from Redis, and cancelled. */
export async function fleet(seed: number): Promise<ScenarioResult> {
  const simulation = new Simulation(seed)
  const { random } = simulation
  const quiet = random.chance(0.1)
  const often = (most: number): number => (quiet || random.chance(0.3) ? 0 : random.spread(most / 10, most))
  const [losses, diskFails, sourceFails] = [often(0.2), often(0.01), often(0.05)]
  const leaseMs = random.pick([1000, 3000, 15_000])
  const keys = new FleetKeys()
  const model = new RedisModel(() => simulation.nowMs)
  const runs = new AsyncLocalStorage<Run>()
  const outcomes: string[] = []
  const images = new Map(
    Array.from({ length: 3 }, (_, index) => [
      `image-${index}`,
      random.bytes(512 * (1 + random.below(sizeBytes / 512))),
    ]),
  )
  const volumes = new Map<string, Volume>(
    ['rbd:pool/a', 'rbd:pool/b'].map((name) => [
      name,
      { name, content: Buffer.alloc(0), newestToken: 0, lastDone: undefined },
    ]),
  )
  const jobs: EngineEntry[] = []
  let workers = 0
  let redisDown = false

  /** Every write that lands is looked at: nobody older may write once a newer one has. */
  function openNew(volume: Volume): Target {
    const run = runs.getStore()
    demand(run !== undefined && run.token > 0, simulation, 'a volume is opened without a lease')
    demand(
      volume.lastDone !== run.job,
      simulation,
      `${run.job.id} is begun once more though it was the last to be done`,
    )
    const file = new SimulatedFile(
      simulation,
      sizeBytes + 1,
      { fails: diskFails, mostMs: leaseMs / 5 },
      () => {
        demand(
          run.token >= volume.newestToken,
          simulation,
          `token ${run.token} writes ${volume.name} after token ${volume.newestToken} has`,
        )
        volume.newestToken = run.token
      },
    )
    return {
      write: (bytes, offset) => writeFully(file as never, bytes, offset),
      zero: (offset, length) => writeFully(file as never, Buffer.alloc(length), offset),
      commit: async (bytes) => {
        await writeFully(file as never, Buffer.alloc(1), sizeBytes)
        volume.content = file.bytes.subarray(0, bytes)
        const { imageId = '' } = run.job.data.job as { imageId?: string }
        demand(
          volume.content.equals(images.get(imageId) as Buffer),
          simulation,
          'other bytes than the image has were committed',
        )
      },
      abandon: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }
  }

  const imageService = {
    show: async (_context: object, imageId: string) => {
      await new Promise((resolve) => setTimeout(resolve, random.spread(1, 200)))
      if (random.chance(sourceFails)) throw new ImageDownloadFailedError({ imageId, reason: 'simulated' })
      const data = images.get(imageId) as Buffer
      return {
        id: imageId,
        status: 'active',
        disk_format: 'raw',
        container_format: 'bare',
        properties: {},
        size: data.length,
        os_hash_algo: 'sha256',
        os_hash_value: createHash('sha256').update(data).digest('hex'),
      }
    },
    download: async (_context, imageId, sink, options = {}) => {
      const data = images.get(imageId) as Buffer
      const pauseMs = random.spread(1, leaseMs / 3)
      const transfer = new Transfer(
        sink,
        { ...options, image: await imageService.show({}, imageId) },
        { buffers: new BufferPool({ bufferBytes: 4096 }) },
      )
      try {
        for (let at = 0; at < data.length; at += 3000) {
          await delay(pauseMs * random.next(), undefined, { signal: options.signal })
          if (random.chance(sourceFails / 10))
            throw new ImageDownloadFailedError({ imageId, reason: 'simulated' })
          await transfer.push(data.subarray(at, at + 3000))
        }
        return { ...(await transfer.finish()), resumes: 0, durationSeconds: 1 }
      } finally {
        await transfer.close()
      }
    },
  } as Pick<ImageService, 'show' | 'download'> as ImageService

  function volumeOf({ data }: EngineEntry): Volume {
    return volumes.get((data.job as { readonly volume: string }).volume) as Volume
  }

  function startWorker(): void {
    workers += 1
    const where = new Process(`worker-${workers}`)
    where.run(() => void work(where))
  }

  async function work(where: Process): Promise<void> {
    const link = new RedisLink(simulation, model, {
      timeoutMs: Math.max(leaseMs / 3, 2000),
      losses,
      isDown: () => redisDown,
      contextOf: () => runs.getStore(),
      onDone: (script, answer, context) => {
        const run = context as Run | undefined
        if (run !== undefined && script === acquireLease) [run.token] = answer as [number]
        if (run !== undefined && script === commitOutcome && answer === 1) {
          run.job.done = true
          volumeOf(run.job).lastDone = run.job
        }
      },
    })
    const redis = link.client() as never
    const context: WorkerContext = {
      name: where.name,
      host: where.name,
      keys,
      redis,
      leases: new LeaseStore({
        redis,
        keys,
        renewer: new Renewer(redis),
        ttlMs: leaseMs,
        onOverdue: () => {
          where.dead = true
          died(where)
        },
        describe: () => Promise.resolve({ machine: where.name, pid: 2, startTime: '0', endsAtOnce: true }),
      }),
      permits: new Permits(redis, keys, leaseMs),
      clouds: new Clouds({
        default: { open: () => ({ imageService }), ...(random.chance(0.5) ? { maxJobs: 2 } : {}) },
      }),
      backends: { default: { pools: ['pool'] } },
      limits: new HostLimits({ jobs: most.jobs, bytesInFlight: random.pick([sizeBytes, 10 * sizeBytes]) }),
      cache: undefined,
      rbd: {
        openNew: async (name) => openNew(volumes.get(name) as Volume),
        write: async () => undefined,
        read: async () => undefined,
      },
      passphrases: {},
      imageUtils: createImageUtils(),
      logger: silentLogger,
      metrics: {
        ended: (_type, _backend, outcome) => void outcomes.push(outcome),
        takenOver: () => undefined,
        close: () => undefined,
      },
      running: new Map(),
      suspect: undefined,
    }
    alive.set(where, { link, context })
    await Promise.all(Array.from({ length: most.jobs }, () => take(where, link, context)))
  }

  /** What the engine does in a worker, one job after the other. */
  async function take(where: Process, link: RedisLink, context: WorkerContext): Promise<void> {
    for (let count = 0; !over(); count += 1) {
      const lock = `${where.name}/${count}/${random.below(1e9)}`
      const asked = link.call(() => {
        recoverStalled()
        const job = jobs.find(
          ({ state, processAtMs }) => state === 'waiting' && processAtMs <= simulation.wallMs,
        )
        if (job === undefined) return undefined
        Object.assign(job, { state: 'active', lock, lockedUntilMs: simulation.nowMs + leaseMs })
        return job
      })
      const job = await asked.catch(() => undefined)
      if (job === undefined) {
        await new Promise((resolve) => setTimeout(resolve, random.spread(50, 500)))
        continue
      }
      const renewal = setInterval(() => {
        link
          .call(() => {
            if (job.lock === lock) job.lockedUntilMs = simulation.nowMs + leaseMs
          })
          .catch(() => undefined)
      }, leaseMs / 2)
      const end = await runs.run({ job, token: 0 }, () => attempt(context, link, job, lock))
      // The engine's connection waits as long as it takes.
      while (
        !(await link
          .call(() => (job.lock === lock && job.state === 'active' ? end(job) : undefined))
          .then(
            () => true,
            () => false,
          ))
      );
      clearInterval(renewal)
    }
  }

  /** @returns what the engine does with the job then */
  async function attempt(
    context: WorkerContext,
    link: RedisLink,
    job: EngineEntry,
    lock: string,
  ): Promise<(job: EngineEntry) => void> {
    const back = (delayMs: number) => async (): Promise<void> => {
      while (
        !(await link
          .call(() => {
            if (job.lock === lock)
              Object.assign(job, { state: 'waiting', lock: undefined, processAtMs: delayMs })
          })
          .then(
            () => true,
            () => false,
          ))
      );
    }
    const engineJob = {
      id: job.id,
      data: job.data,
      stalledCounter: job.stalled,
      updateProgress: () => link.call(() => undefined),
      moveToDelayed: (untilMs: number) => back(untilMs)(),
      moveToWait: () => back(0)(),
    } as unknown as EngineJob
    try {
      const result = await processJob(context, engineJob, lock)
      return (entry) => complete(entry, result)
    } catch (error) {
      if (error instanceof DelayedError || error instanceof WaitingError) return () => undefined
      const isFinal = error instanceof UnrecoverableError
      const known =
        isFinal || error instanceof SimulatedDiskError || error instanceof ImageDownloadFailedError
      if (!known) stray.push(error)
      return (entry) => {
        entry.attempts += 1
        if (isFinal || entry.attempts >= most.attempts) finish(entry, 'failed')
        else
          Object.assign(entry, {
            state: 'waiting',
            lock: undefined,
            processAtMs: simulation.wallMs + 500 * 2 ** entry.attempts,
          })
      }
    }
  }

  function complete(entry: EngineEntry, result: JobResult): void {
    demand(entry.done, simulation, `${entry.id} is completed, and its outcome is not noted`)
    demand(result.fencingToken > 0, simulation, 'a job was done without a token')
    finish(entry, 'completed')
  }

  function finish(entry: EngineEntry, state: 'completed' | 'failed'): void {
    entry.ends += 1
    demand(entry.ends === 1, simulation, `${entry.id} ended twice`)
    Object.assign(entry, { state, lock: undefined })
    simulation.note(`${entry.id} ${state}`)
  }

  function recoverStalled(): void {
    for (const job of jobs) {
      if (job.state !== 'active' || job.lockedUntilMs > simulation.nowMs) continue
      job.stalled += 1
      if (job.stalled > most.crashes) finish(job, 'failed')
      else Object.assign(job, { state: 'waiting', lock: undefined })
    }
  }

  /** Its supervisor starts another one. */
  function died(where: Process): void {
    simulation.note(`${where.name} died`)
    alive.delete(where)
    simulation.at(random.spread(100, 20_000), 'start a worker', startWorker)
  }

  const alive = new Map<Process, { readonly link: RedisLink; readonly context: WorkerContext }>()
  const stray: unknown[] = []
  const over = (): boolean => jobs.every(({ ends }) => ends > 0)

  function mishap(): void {
    const all = [...alive.entries()]
    const one = all[random.below(all.length)]
    if (one === undefined) return
    const [where, { link, context }] = one
    random.pick<() => void>([
      () => (where.stoppedUntilMs = simulation.nowMs + random.spread(leaseMs / 10, leaseMs * 4)),
      () => (where.stoppedUntilMs = simulation.nowMs + random.spread(leaseMs / 2, leaseMs * 2)),
      () => (link.cutUntilMs = simulation.nowMs + random.spread(leaseMs / 10, leaseMs * 4)),
      () => {
        where.dead = true
        died(where)
      },
      () => (simulation.wallOffsetMs += (random.chance(0.5) ? 1 : -1) * random.spread(100, 60_000)),
      () => {
        redisDown = true
        simulation.at(random.spread(10, leaseMs * 2), 'redis is back', () => (redisDown = false))
      },
      () => {
        const job = jobs[random.below(jobs.length)]
        if (job === undefined || random.chance(0.7)) return
        model.set(keys.cancelled(job.id), job.data.submission, 'PX', 1e9)
        context.running.get(job.id)?.controller.abort(new JobCancelledError())
      },
    ])()
  }

  const result = await simulation.run(async () => {
    for (let index = 2 + random.below(8); index > 0; index -= 1) {
      const id = `default.fetch-${index}`
      const job = {
        type: 'fetch',
        imageId: `image-${random.below(3)}`,
        volume: random.pick(['rbd:pool/a', 'rbd:pool/b']),
      } as const
      jobs.push({
        id,
        data: { version: 1, submission: `00000000-0000-0000-0000-${String(index).padStart(12, '0')}`, job },
        state: 'waiting',
        processAtMs: simulation.wallMs + random.spread(1, 20_000),
        lock: undefined,
        lockedUntilMs: 0,
        attempts: 0,
        stalled: 0,
        ends: 0,
        done: false,
      })
    }
    for (let count = 1 + random.below(4); count > 0; count -= 1) startWorker()
    if (!quiet)
      for (let count = random.below(20); count > 0; count -= 1)
        simulation.at(random.spread(100, 120_000), 'mishap', mishap)
    while (!over()) await new Promise((resolve) => setTimeout(resolve, 1000))
  }, 6 * 3_600_000)
  for (const error of stray) throw error
  for (const job of jobs) {
    demand(job.ends === 1, simulation, `${job.id} did not end`)
    demand(!quiet || job.state === 'completed', simulation, `${job.id} failed on a quiet day`)
  }
  return { ...result, outcomes }
}
