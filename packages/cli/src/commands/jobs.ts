import { setTimeout as delay } from 'node:timers/promises'
import { printableJson, formatBytes } from '@disk-image/core'
import { type Command, Option } from 'commander'
import type * as FleetPackage from '@disk-image/fleet'
import type { Fleet, FleetJobState, JobView, FleetJob } from '@disk-image/fleet'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import type { Perform } from './perform.ts'
import { operand, wholeNumber } from './values.ts'
import type { Style } from '../output/style.ts'
import { alignFields, alignRows, type Cell } from '../output/table.ts'
import { formatRate, formatSeconds } from '../output/units.ts'

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

/** Options of every command that speaks to the fleet. */
export interface FleetFlags {
  readonly redis?: string
  readonly prefix?: string
}

/** Adds them. */
export function withFleetOptions(command: Command): Command {
  return command
    .option(
      '--redis <url>',
      'where the queue is; with a password only as DISK_IMAGE_REDIS, which no list of processes shows',
    )
    .option('--prefix <name>', "of every key in Redis (default: 'disk-image')")
}

/** The package that knows the queue: who works alone doesn't need it. */
export async function loadFleet(): Promise<typeof FleetPackage> {
  try {
    return await import('@disk-image/fleet')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes('@disk-image/fleet')) throw cause
    throw new UsageError(
      'This command needs the package @disk-image/fleet. Install it with: npm install --global @disk-image/fleet',
      { cause },
    )
  }
}

/** Where Redis is. */
export function redisOf({ redis = '' }: FleetFlags): string {
  if (redis !== '') return redis
  throw new UsageError('Say where the queue is: --redis redis://HOST:6379, or set DISK_IMAGE_REDIS to that.')
}

/** Runs something with the fleet, which is closed afterwards. A Redis that doesn't answer is told at once. */
export async function withFleet<Result>(
  session: Session,
  flags: FleetFlags,
  use: (fleet: FleetPackage.Fleet) => Promise<Result>,
): Promise<Result> {
  const { createFleet } = await loadFleet()
  const fleet = createFleet({ connection: redisOf(flags), prefix: flags.prefix })
  try {
    await fleet.check()
    return await use(fleet)
  } finally {
    await fleet.close()
  }
}

/** A line for each job, those that run first. */
export function describeJobs(style: Style, views: readonly JobView[]): string[] {
  if (views.length === 0) return ['There are no such jobs.']
  const order = ['active', 'waiting', 'delayed', 'failed', 'cancelled', 'completed']
  const sorted = views.toSorted(
    (left, right) =>
      order.indexOf(left.state) - order.indexOf(right.state) || left.submittedAt - right.submittedAt,
  )
  const head: Cell[] = ['JOB', 'STATE', 'STAGE', 'DONE', 'RATE', 'WORKER', 'WHAT'].map((text) => ({
    text,
    paint: style.dim,
  }))
  return alignRows([head, ...sorted.map((view) => rowOf(style, view))])
}

function rowOf(style: Style, view: JobView): Cell[] {
  const paint = { completed: style.good, failed: style.bad, cancelled: style.note }[view.state as 'failed']
  const running = view.state === 'active' ? view.progress : undefined
  return [
    view.id,
    paint === undefined ? view.state : { text: view.state, paint },
    running?.stage ?? '',
    doneOf(view),
    running === undefined || running.rateBytesPerSecond === 0 ? '' : formatRate(running.rateBytesPerSecond),
    running?.worker ?? view.result?.worker ?? '',
    view.error === undefined ? whatOf(view.job) : `${view.error.code}: ${view.error.message}`,
  ]
}

function doneOf({ state, progress }: JobView): string {
  if (state !== 'active' || progress === undefined) return ''
  const total = progress.total ?? (progress.unit === 'percent' ? 100 : undefined)
  if (total !== undefined && total > 0) return `${Math.floor((progress.completed / total) * 100)} %`
  return progress.unit === 'bytes' ? formatBytes(progress.completed) : ''
}

function whatOf(job: FleetJob): string {
  switch (job.type) {
    case 'fetch':
      return `${job.source ?? job.imageId} → ${job.volume}`
    case 'upload':
      return `${job.volume} → ${job.imageId}`
    case 'convert':
      return `${job.source} → ${job.volume}`
    case 'coalesce':
      return `${job.chain.length} files → ${job.chain.at(-1)}`
    case 'inspect':
    default:
      return job.source ?? job.imageId ?? ''
  }
}

/** All of one job. */
export function describeJob(style: Style, view: JobView): string[] {
  const { progress, error, startedAt, endedAt } = view
  const seconds = startedAt === undefined ? undefined : ((endedAt ?? Date.now()) - startedAt) / 1000
  return alignFields([
    ['Job', { text: view.id, paint: style.bold }],
    ['State', view.state],
    ['What', whatOf(view.job)],
    ['Submitted', new Date(view.submittedAt).toISOString()],
    ['Took', seconds === undefined ? undefined : formatSeconds(seconds)],
    ['Attempts', `${view.attempts} ended, ${view.crashes} lost with their worker`],
    ['Stage', view.state === 'active' ? `${progress?.stage ?? 'begin'} ${doneOf(view)}` : undefined],
    ['Worker', progress?.worker ?? view.result?.worker],
    [
      'Error',
      error === undefined ? undefined : { text: `${error.code}: ${error.message}`, paint: style.bad },
    ],
    ['rule', error?.rule],
  ])
}
