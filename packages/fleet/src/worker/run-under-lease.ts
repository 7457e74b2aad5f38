import { setTimeout as delay } from 'node:timers/promises'
import { InvalidError } from '@disk-image/core'
import type { ImageRecord } from '@disk-image/core'
import type { Execution } from '../executors/execution.ts'
import { convertsData, volumesOf } from '../executors/run-job.ts'
import { runWithVolumes } from '../executors/with-volumes.ts'
import { backendOf, cloudOf, destinationsOf } from '../jobs/identity.ts'
import type { JobEnvelope, JobResult } from '../jobs/job.ts'
import { keepOutcomeMs, lastOutcome, type Lease } from '../lease/lease.ts'
import type { Permit } from '../limits/host-limits.ts'
import { checkVolumeName } from '../volumes/hold-volume.ts'
import { lockVolume } from '../volumes/lock-volume.ts'
import type { CloudAccess, WorkerContext } from './worker-context.ts'
import type { ProgressReporter } from './progress-reporter.ts'

/** A job can't be run now, and it is not the job's fault. */
export class Postponed extends Error {
  override readonly name: string = 'Postponed'
  readonly delayMs: number

  constructor(delayMs: number, message: string) {
    super(message)
    this.delayMs = delayMs
  }
}

/** How long a run waits for a place at its image store before it lets another job have its turn. */
const storePatienceMs = 5000
/** The longest that a job waits before it asks again for its destination. */
const longestWaitMs = 5000

/** How long who had the volume before may take to let go of it. */
const lockPatienceMs = 500

interface Run {
  readonly reporter: ProgressReporter
  readonly signal: AbortSignal
}

/**
 * Does a job while nobody else may touch its destination: limits first, then the lease, and at the end the outcome is
 * noted under the lease before it is given back. Whoever finds the outcome of this very submission does nothing.
 */
export async function runUnderLease(
  worker: WorkerContext,
  jobId: string,
  envelope: JobEnvelope,
  run: Run,
): Promise<JobResult> {
  const { job, submission } = envelope
  const done = await outcomeOf(worker, envelope)
  if (done !== undefined) return done
  const backend = checkVolumes(worker, envelope)
  const access = await openCloud(worker, envelope)
  const record = await readRecord(envelope, access, run.signal)
  const permit = await takeStorePermit(worker, envelope, `${worker.name}/${submission}`, run.signal)
  let release: () => void = () => undefined
  let lease: Lease | undefined
  try {
    const bytes = record?.size ?? 0
    release = await worker.limits.admit({ bytes, converts: convertsData(job, record) }, run.signal)
    const answer = await worker.leases.acquire({ destinations: destinationsOf(job), jobId, submission })
    if ('busyMs' in answer) {
      throw new Postponed(Math.min(answer.busyMs + 50, longestWaitMs), 'its destination is in use')
    }
    const held = answer.lease
    lease = held
    const meanwhile = await outcomeOf(worker, envelope)
    if (meanwhile !== undefined) return meanwhile
    run.reporter.begin(job.type, held.token)
    const execution: Execution = {
      imageUtils: worker.imageUtils,
      backend,
      imageService: access?.imageService,
      context: access?.context ?? {},
      record,
      cache: worker.cache,
      rbd: worker.rbd,
      passphrases: worker.passphrases,
      signal: AbortSignal.any([held.signal, run.signal]),
      writeRight: held,
      onProgress: (progress) => {
        // Whoever asks before each write needn't be ended here.
        if (job.type === 'coalesce') held.check()
        run.reporter.report(progress)
      },
      check: async () => {
        run.signal.throwIfAborted()
        await held.ensure()
      },
      isOver: () => held.isOver,
      lock: (volume) =>
        lockVolume(volume, {
          formerOwners: held.formerOwners,
          patienceMs: lockPatienceMs,
          signal: AbortSignal.any([held.signal, run.signal]),
        }),
      hasBegun: async () => (await worker.redis.get(worker.keys.begun(jobId))) === submission,
      noteBegun: async () => {
        await worker.redis.set(worker.keys.begun(jobId), submission, 'PX', keepOutcomeMs)
      },
    }
    const report = await runWithVolumes(job, execution)
    const { name, host } = worker
    const result: JobResult = { type: job.type, fencingToken: held.token, worker: name, host, report }
    await held.commit(JSON.stringify({ jobId, submission, result }), keepOutcomeMs)
    return result
  } catch (error) {
    throw lease?.signal.aborted === true ? lease.signal.reason : error
  } finally {
    release()
    await Promise.all([lease?.release(), permit?.release()])
  }
}

async function outcomeOf(
  worker: WorkerContext,
  { job, submission }: JobEnvelope,
): Promise<JobResult | undefined> {
  const outcome = await lastOutcome(worker.redis, worker.keys, job)
  return outcome?.submission === submission ? outcome.result : undefined
}

/** By their names alone: they are opened under the lease. */
function checkVolumes(worker: WorkerContext, { job }: JobEnvelope): WorkerContext['backends'][string] {
  const name = backendOf(job)
  const backend = Object.hasOwn(worker.backends, name) ? worker.backends[name] : undefined
  if (backend === undefined)
    throw new InvalidError({ reason: `This worker does not serve the back end ${name}.` })
  for (const volume of volumesOf(job)) checkVolumeName(volume, name, backend)
  return backend
}

async function openCloud(worker: WorkerContext, { job }: JobEnvelope): Promise<CloudAccess | undefined> {
  const name = cloudOf(job)
  return name === undefined ? undefined : worker.clouds.access(name)
}

async function readRecord(
  { job }: JobEnvelope,
  access: CloudAccess | undefined,
  signal: AbortSignal,
): Promise<ImageRecord | undefined> {
  if (access === undefined || !('imageId' in job) || job.imageId === undefined) return undefined
  return access.imageService.show(access.context ?? {}, job.imageId, { signal })
}

async function takeStorePermit(
  worker: WorkerContext,
  { job }: JobEnvelope,
  holder: string,
  signal: AbortSignal,
): Promise<Permit | undefined> {
  const name = cloudOf(job)
  const count = name === undefined ? undefined : worker.clouds.optionsOf(name).maxJobs
  if (name === undefined || count === undefined) return undefined
  const untilMs = performance.now() + storePatienceMs
  for (;;) {
    const permit = await worker.permits.take(`cloud:${name}`, holder, count)
    if (permit !== undefined) return permit
    if (performance.now() > untilMs)
      throw new Postponed(storePatienceMs, `the cloud ${name} has enough to do`)
    await delay(100 + Math.random() * 150, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}
