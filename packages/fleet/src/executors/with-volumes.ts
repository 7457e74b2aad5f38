import { stat } from 'node:fs/promises'
import { InvalidError } from '@disk-image/core'
import { renameInError } from '@disk-image/host'
import { backendOf } from '../jobs/identity.ts'
import type { ConvertJob, FleetJob } from '../jobs/job.ts'
import { holdVolume } from '../volumes/hold-volume.ts'
import type { HeldVolume } from '../volumes/hold-volume.ts'
import type { Execution, Report } from './execution.ts'
import { runJob } from './run-job.ts'

/**
 * Does a job with its volumes held: whatever becomes of their names meanwhile, the files are those that were found
 * beneath the back end's folders. A file that was made for a job that fails is removed.
 *
 * @throws {InvalidError} for a volume that the back end doesn't have
 */
export async function runWithVolumes(job: FleetJob, execution: Execution): Promise<Report> {
  const held: HeldVolume[] = []
  const locks: AsyncDisposable[] = []
  const hold: Hold = async (volume, use) => {
    const one = await holdVolume(volume, backendOf(job), execution.backend, use === 'write' ? use : 'read')
    held.push(one)
    const lock = use === 'read' ? undefined : await execution.lock(one)
    if (lock !== undefined) locks.push(lock)
    return one.path
  }
  try {
    const report = await runJob(await withPaths(job, hold), execution)
    return Object.fromEntries(
      Object.entries(report).map(([key, value]) => [
        key,
        held.find((one) => one.path === value)?.name ?? value,
      ]),
    )
  } catch (error) {
    for (const one of held) {
      renameInError(error, one)
      if (!execution.isOver()) await one.takeBack()
    }
    throw error
  } finally {
    for (const one of [...held, ...locks]) await one[Symbol.asyncDispose]()
  }
}

/** What is changed is there already, unlike what is written. */
type Hold = (volume: string, use: 'read' | 'write' | 'change') => Promise<string>

async function withPaths(job: FleetJob, hold: Hold): Promise<FleetJob> {
  switch (job.type) {
    case 'fetch':
      return { ...job, volume: await hold(job.volume, 'write') }
    case 'upload':
      return { ...job, volume: await hold(job.volume, 'read') }
    case 'convert': {
      const source = await hold(job.source, 'read')
      const volume = await hold(job.volume, 'write')
      await checkDifferent(job, source, volume)
      return { ...job, source, volume }
    }
    case 'coalesce': {
      const chain: string[] = []
      for (const file of job.chain) chain.push(await hold(file, 'change'))
      return { ...job, chain }
    }
    case 'inspect':
    default:
      return job
  }
}

/** Two names may be one file. */
async function checkDifferent(job: ConvertJob, source: string, volume: string): Promise<void> {
  if (volume.startsWith('rbd:')) return
  const [from, to] = await Promise.all([
    stat(source, { bigint: true }),
    stat(volume, { bigint: true }).catch(() => undefined),
  ])
  if (from.dev === to?.dev && from.ino === to.ino) {
    throw new InvalidError({ reason: `${job.source} and ${job.volume} are the same file.` })
  }
}
