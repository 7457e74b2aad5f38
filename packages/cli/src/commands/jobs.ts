import { printableJson } from '@disk-image/core'
import { setTimeout as delay } from 'node:timers/promises'
import { type Command, Option } from 'commander'
import type { Fleet, FleetJobState, JobView } from '@disk-image/fleet'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { type FleetFlags, withFleet, withFleetOptions } from './jobs-fleet.ts'
import { describeJob, describeJobs } from './jobs-table.ts'
import type { Perform } from './perform.ts'
import { operand, wholeNumber } from './values.ts'

interface JobsFlags extends FleetFlags {
  readonly watch?: boolean
  readonly backend?: string
  readonly state?: FleetJobState
  readonly limit: number
}

const states = ['waiting', 'delayed', 'active', 'completed', 'failed', 'cancelled']

const notes = `
With --watch and --json a line with one JSON object is printed each second.

Examples:
  $ disk-image jobs --watch
  $ disk-image jobs --state failed --json
  $ disk-image jobs default.fetch-0123456789abcdef0123456789abcdef
  $ disk-image jobs cancel default.fetch-0123456789abcdef0123456789abcdef`

/** `disk-image jobs`: what the fleet does, and `jobs cancel`. */
export function addJobsCommand(program: Command, perform: Perform): void {
  const jobs = program
    .command('jobs')
    .summary('what the fleet does')
    .description('Shows the jobs of the fleet: their stage, rate and worker, or all of one.')
    .argument('[id]', "a job's id")
    .option('--watch', 'again each second, until it is ended')
    .option('--backend <name>', 'only those of a back end')
    .addOption(new Option('--state <state>', 'only those in a state').choices(states))
    .option('--limit <n>', 'most of each state', wholeNumber('--limit', 1), 50)
    .addHelpText('after', notes)
  withFleetOptions(jobs).action(perform<JobsFlags>(showJobs))
  withFleetOptions(
    jobs
      .command('cancel')
      .summary('end a job')
      .description('Ends a job: a running one within a second.')
      .argument('<id>', "the job's id"),
  ).action(perform<FleetFlags>(cancelJob))
}

async function showJobs(
  session: Session,
  flags: JobsFlags & GlobalFlags,
  operands: readonly string[],
): Promise<ExitCode> {
  const [id] = operands
  const { signal } = session.io
  return withFleet(session, flags, async (fleet) => {
    if (flags.watch !== true) {
      const picture = await take(session, fleet, flags, id)
      session.answer(picture.json, picture.lines, 'all')
      return exitCodes.done
    }
    while (!signal.aborted) {
      const { json, lines } = await take(session, fleet, flags, id)
      const home = session.io.stdout.isTTY === true ? '\u001b[H\u001b[2J' : ''
      const text = flags.json === true ? printableJson(json) : `${home}${lines.join('\n')}`
      session.io.stdout.write(`${text}\n`)
      await delay(1000, undefined, { signal }).catch(() => undefined)
    }
    return exitCodes.done
  })
}

interface Picture {
  readonly json: object
  readonly lines: readonly string[]
}

async function take(
  session: Session,
  fleet: Fleet,
  flags: JobsFlags,
  id: string | undefined,
): Promise<Picture> {
  if (id !== undefined) {
    const view = await fleet.show(id)
    return { json: view, lines: describeJob(session.style, view) }
  }
  const { backend, state, limit } = flags
  // Those that are done say nothing new.
  const shown = state === undefined ? (['active', 'waiting', 'delayed', 'failed'] as const) : [state]
  const [jobs, counts, workers]: [JobView[], Awaited<ReturnType<Fleet['counts']>>, object[]] =
    await Promise.all([fleet.list({ backend, states: shown, limit }), fleet.counts(backend), fleet.workers()])
  const sums = Object.entries(counts).map(([name, count]) => `${count} ${name}`)
  return {
    json: { counts, workers, jobs },
    lines: [...describeJobs(session.style, jobs), `${sums.join(', ')}; ${workers.length} workers`],
  }
}

async function cancelJob(
  session: Session,
  flags: FleetFlags & GlobalFlags,
  operands: readonly string[],
): Promise<ExitCode> {
  const id = operand(operands, 0)
  return withFleet(session, flags, async (fleet) => {
    if (!(await fleet.cancel(id))) throw new UsageError(`The job ${id} had ended before.`)
    session.answer({ id, cancelled: true }, [`${id} is cancelled.`])
    return exitCodes.done
  })
}
