import { ImageError } from '@disk-image/core'
import type { Refusal } from '@disk-image/core'
import { DelayedError, UnrecoverableError, WaitingError } from 'bullmq'
import type { Job } from 'bullmq'
import { JobCancelledError, WorkerStoppingError } from '../errors.ts'
import { checkEnvelope } from '../jobs/check-job.ts'
import { backendOf } from '../jobs/identity.ts'
import type { JobEnvelope, JobFailure, JobProgress, JobResult } from '../jobs/job.ts'
import { isRedisFailure } from '../redis/connection.ts'
import { liveHosts, runScript } from '../redis/scripts.ts'
import type { RunOutcome } from './metrics.ts'
import { ProgressReporter } from './progress-reporter.ts'
import { Postponed, runUnderLease } from './run-under-lease.ts'
import type { WorkerContext } from './worker-context.ts'

/** A job as the engine has it. */
export type EngineJob = Job<JobEnvelope, JobResult, string, JobProgress>

/** Seconds for which a host without room for a job isn't asked again. */
const avoidSeconds = 600

/** One run of one job, from the queue's hands back into them. */
export async function processJob(
  worker: WorkerContext,
  job: EngineJob,
  token: string | undefined,
): Promise<JobResult> {
  const jobId = job.id ?? ''
  const { envelope, backend } = readJob(job)
  const { type } = envelope.job
  const beganMs = performance.now()
  const controller = new AbortController()
  const reporter = new ProgressReporter({ worker: worker.name, host: worker.host }, (progress) =>
    job.updateProgress(progress),
  )
  let outcome: RunOutcome = 'failed'
  const crashed = job.stalledCounter > 0
  try {
    if (await isAvoided(worker, jobId, backend)) throw new Postponed(2000, 'another host has more room')
    if (crashed && worker.suspect !== undefined) {
      throw new Postponed(1000, 'a job that took a worker down is run with no other of its kind')
    }
    if (crashed) worker.suspect = jobId
    if (crashed) worker.metrics.takenOver(type, backend)
    worker.running.set(jobId, { jobId, type, beganMs, controller })
    const cancelled = await worker.redis.get(worker.keys.cancelled(jobId))
    if (cancelled === envelope.submission) throw new JobCancelledError()
    const result = await runUnderLease(worker, jobId, envelope, { reporter, signal: controller.signal })
    await reporter.close()
    outcome = 'completed'
    return result
  } catch (caught) {
    // Whatever a step made of the abort, it is the abort that counts.
    const error: unknown = controller.signal.aborted ? controller.signal.reason : caught
    const next = await whatNow(worker, { job, token, backend, reporter }, error)
    outcome = next.outcome
    throw next.error
  } finally {
    worker.running.delete(jobId)
    if (worker.suspect === jobId) worker.suspect = undefined
    worker.metrics.ended(type, backend, outcome, (performance.now() - beganMs) / 1000, reporter.bytes)
  }
}

function readJob(job: EngineJob): { envelope: JobEnvelope; backend: string } {
  try {
    const envelope = checkEnvelope(job.data)
    return { envelope, backend: backendOf(envelope.job) }
  } catch (error) {
    throw new UnrecoverableError(error instanceof Error ? error.message : String(error))
  }
}

interface Run {
  readonly job: EngineJob
  readonly token: string | undefined
  readonly backend: string
  readonly reporter: ProgressReporter
}

/** What becomes of a job whose run ended with an error; the engine is told by the error that is thrown next. */
async function whatNow(
  worker: WorkerContext,
  run: Run,
  error: unknown,
): Promise<{ readonly error: Error; readonly outcome: RunOutcome }> {
  const { job, token, reporter } = run
  const later = async (ms: number, outcome: RunOutcome): Promise<{ error: Error; outcome: RunOutcome }> => {
    await reporter.close()
    await job.moveToDelayed(Date.now() + Math.round(ms * (0.75 + Math.random() / 2)), token)
    return { error: new DelayedError(), outcome }
  }
  if (error instanceof Postponed) {
    worker.logger.debug('Job postponed', { jobId: job.id, reason: error.message })
    return later(error.delayMs, 'postponed')
  }
  if (error instanceof WorkerStoppingError) {
    await reporter.close()
    await job.moveToWait(token)
    return { error: new WaitingError(), outcome: 'given-back' }
  }
  if (ImageError.is(error) && error.code === 'FLEET_LEASE_LOST') {
    worker.logger.warn('Lease lost', { jobId: job.id, reason: error.message })
    return later(1000, 'lease-lost')
  }
  if (ImageError.is(error) && error.code === 'FLEET_VOLUME_IN_USE') {
    worker.logger.warn('Volume in use', { jobId: job.id, reason: error.message })
    return later(1000, 'postponed')
  }
  if (isRedisFailure(error)) return later(1000, 'postponed')
  const failure = judgeFailure(error)
  worker.logger.warn('Job failed', { jobId: job.id, ...failure })
  await reporter.fail(failure)
  const thrown = error instanceof Error ? error : new Error(failure.message)
  switch (failure.verdict) {
    case 'final':
      return { error: new UnrecoverableError(failure.message), outcome: 'failed' }
    case 'cancelled':
      return { error: new UnrecoverableError(failure.message), outcome: 'cancelled' }
    case 'elsewhere':
      // Where every host has been asked, it is an attempt like another.
      return (await avoidThisHost(worker, run))
        ? later(250, 'postponed')
        : { error: thrown, outcome: 'retried' }
    case 'retry':
    default:
      return { error: thrown, outcome: 'retried' }
  }
}

async function isAvoided(
  { redis, keys, host }: WorkerContext,
  jobId: string,
  backend: string,
): Promise<boolean> {
  if ((await redis.sismember(keys.avoided(jobId), host)) === 0) return false
  const hosts = (await runScript(redis, liveHosts, [keys.hosts(backend)], [])) as string[]
  const avoided = new Set(await redis.smembers(keys.avoided(jobId)))
  return hosts.some((other) => !avoided.has(other))
}

/** @returns whether there is another host that has not been asked yet */
async function avoidThisHost({ redis, keys, host }: WorkerContext, { job, backend }: Run): Promise<boolean> {
  const key = keys.avoided(job.id ?? '')
  await redis.sadd(key, host)
  await redis.expire(key, avoidSeconds)
  const hosts = (await runScript(redis, liveHosts, [keys.hosts(backend)], [])) as string[]
  const avoided = new Set(await redis.smembers(key))
  if (hosts.some((other) => !avoided.has(other))) return true
  await redis.del(key)
  return false
}

const noSpaceCodes = new Set(['IMAGE_TOO_BIG', 'ENOSPC', 'EDQUOT'])

/**
 * What follows from an error.
 *
 * - refused, not found, not allowed, wrong: final, the same job ends the same way everywhere
 * - no room on this host: another host may have it
 * - all else broke on the way: another attempt
 */
export function judgeFailure(error: unknown): JobFailure {
  const { code, message, rule } = describe(error)
  const failure = { code, message, ...(rule === undefined ? {} : { rule }) }
  if (code === 'FLEET_JOB_CANCELLED') return { ...failure, verdict: 'cancelled' }
  if (noSpaceCodes.has(code)) return { ...failure, verdict: 'elsewhere' }
  const final = ImageError.is(error) && error.kind !== 'failed'
  return { ...failure, verdict: final ? 'final' : 'retry' }
}

function describe(error: unknown): { code: string; message: string; rule: string | undefined } {
  if (ImageError.is(error)) {
    const { rule } = error as ImageError & Partial<Refusal>
    return { code: error.code, message: error.message, rule }
  }
  if (!(error instanceof Error)) return { code: 'UNEXPECTED', message: String(error), rule: undefined }
  const { code } = error as NodeJS.ErrnoException
  const known = typeof code === 'string' && /^[A-Z][A-Z0-9_]+$/.test(code)
  return { code: known ? code : 'UNEXPECTED', message: error.message, rule: undefined }
}
