import type { Redis } from 'ioredis'
import { destinationsOf } from '../jobs/identity.ts'
import type { JobEnvelope, JobResult } from '../jobs/job.ts'
import type { FleetKeys } from '../redis/keys.ts'

/** How long the outcome of a destination is remembered: longer than a job is kept. */
export const keepOutcomeMs: number = 35 * 24 * 3600 * 1000

/** What was done last to a destination. */
export interface Outcome {
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
