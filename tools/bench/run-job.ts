import { floor, ours, rssLimitBytes, type Comparison, type Contestant, type Job } from './job.ts'
import { measure, type MeasuredRun, type Measurement } from './measure.ts'
import { spreadOf, type Spread } from './statistics.ts'

/** One run of one contestant. */
export interface Run extends Measurement {
  /** Seconds inside the call, where the command tells them; otherwise of the whole process. */
  readonly callSeconds: number
}

/** How a contestant did. */
export interface Standing {
  readonly name: string
  readonly description: string
  readonly runs: readonly Run[]
  /** Of the whole process. */
  readonly seconds: Spread
  readonly callSeconds: Spread
  readonly cpuSeconds: Spread
  readonly machineBusySeconds: Spread
  readonly peakRssBytes: Spread
  readonly storageWrittenBytes: Spread
  readonly storageReadBytes: Spread
}

/** A target, and what came of it. */
export interface Judgement {
  readonly what: string
  readonly value: number
  readonly atMost: number
  readonly met: boolean
}

/** A ratio that is shown for information. */
export interface ComparedRatio {
  readonly what: string
  readonly value: number
}

/** What one job showed. */
export interface JobResult {
  readonly job: string
  readonly sizeGiB: number
  readonly standings: readonly Standing[]
  readonly judgements: readonly Judgement[]
  readonly comparisons: readonly ComparedRatio[]
  /** Contestants that could not take part, and why. */
  readonly absent: Readonly<Record<string, string>>
}

async function runOnce(job: Job, contestant: Contestant): Promise<Run> {
  await job.before()
  const measured: MeasuredRun = await measure(contestant.command(), contestant.environment)
  const inside = contestant.read?.(measured)
  if (contestant.bringsNothing !== true) await job.check()
  const { stdout: _stdout, ...figures } = measured
  return { ...figures, callSeconds: inside ?? measured.wallSeconds }
}

function standingOf({ name, description }: Contestant, runs: readonly Run[]): Standing {
  return {
    name,
    description,
    runs,
    seconds: spreadOf(runs.map((run) => run.wallSeconds)),
    callSeconds: spreadOf(runs.map((run) => run.callSeconds)),
    cpuSeconds: spreadOf(runs.map((run) => run.cpuSeconds)),
    machineBusySeconds: spreadOf(runs.map((run) => run.machineBusySeconds)),
    peakRssBytes: spreadOf(runs.map((run) => run.peakRssBytes)),
    storageWrittenBytes: spreadOf(runs.map((run) => run.storageWrittenBytes)),
    storageReadBytes: spreadOf(runs.map((run) => run.storageReadBytes)),
  }
}

/** What a target's or comparison's ratio is called. */
export function ratioName({ of = ours, against, figure }: Comparison): string {
  return `${figure} of ${of} / ${against}`
}

function ratioOf(comparison: Comparison, standings: readonly Standing[]): ComparedRatio | undefined {
  const { of = ours, against, figure } = comparison
  const own = standings.find(({ name }) => name === of)
  const other = standings.find(({ name }) => name === against)
  if (other === undefined) return undefined
  const key = figure === 'wall' ? 'seconds' : (`${figure}Seconds` as const)
  const value = own === undefined ? Infinity : own[key].median / other[key].median
  return { what: ratioName(comparison), value }
}

/** Ratios that nobody is judged by: only of those who are there. */
export function compare(
  { comparisons = [] }: Pick<Job, 'comparisons'>,
  standings: readonly Standing[],
): ComparedRatio[] {
  if (!standings.some(({ name }) => name === ours)) return []
  return comparisons.flatMap((comparison) => ratioOf(comparison, standings) ?? [])
}

/** Compares ours with the others. A target whose other side is absent is not judged; without ours all are missed. */
export function judge(job: Pick<Job, 'targets'>, standings: readonly Standing[]): Judgement[] {
  const own = standings.find(({ name }) => name === ours)
  const judgements = job.targets.flatMap((target) => {
    const ratio = ratioOf(target, standings)
    const { atMost } = target
    return ratio === undefined ? [] : [{ ...ratio, atMost, met: ratio.value <= atMost }]
  })
  const memory = own?.peakRssBytes.max ?? Infinity
  return [
    ...judgements,
    {
      what: 'peak memory of ours, MiB',
      value: memory / 1024 ** 2,
      atMost: rssLimitBytes / 1024 ** 2,
      met: memory <= rssLimitBytes,
    },
  ]
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Who takes part: everybody who is there and, where it is warmed up, brings a right result in that run. */
async function findPresent(
  job: Job,
  missing: Readonly<Record<string, string | undefined>>,
  warmUp: boolean,
): Promise<{ present: Contestant[]; absent: Record<string, string> }> {
  const present: Contestant[] = []
  const absent: Record<string, string> = {}
  for (const contestant of job.contestants) {
    const reason = missing[contestant.name]
    if (reason !== undefined) {
      absent[contestant.name] = reason
      continue
    }
    try {
      if (warmUp) await runOnce(job, contestant)
      present.push(contestant)
    } catch (error) {
      absent[contestant.name] = messageOf(error)
    }
  }
  return { present, absent }
}

/**
 * Runs a job: all contestants in turn, as many rounds as asked for.
 *
 * A contestant that fails or brings a wrong result, in whichever round, is out.
 *
 * @param missing why a contestant can't run at all, by its name
 * @param warmUp everybody runs once before, which doesn't count
 */
export async function runJob(
  job: Job,
  rounds: number,
  missing: Readonly<Record<string, string | undefined>>,
  warmUp: boolean,
  onRound: (round: number) => void,
): Promise<JobResult> {
  const { present, absent } = await findPresent(job, missing, warmUp)
  const runs = new Map<string, Run[]>(present.map(({ name }) => [name, []]))
  for (let round = 1; round <= rounds; round += 1) {
    onRound(round)
    // Every other round the other way round, so that nobody always follows the same one.
    for (const contestant of round % 2 === 1 ? present : present.toReversed()) {
      if (contestant.name in absent) continue
      if ((runs.get(contestant.name)?.length ?? 0) >= (contestant.mostRuns ?? Infinity)) continue
      try {
        runs.get(contestant.name)?.push(await runOnce(job, contestant))
      } catch (error) {
        absent[contestant.name] = `failed in round ${round}: ${messageOf(error)}`
      }
    }
  }
  const standings = present
    .filter(({ name }) => !(name in absent))
    .map((contestant) => standingOf(contestant, runs.get(contestant.name) ?? []))
  return {
    job: job.name,
    sizeGiB: job.sizeGiB,
    standings,
    judgements: judge(job, standings),
    comparisons: compare(job, standings),
    absent,
  }
}

/** What the site draws of a job: median times as multiples of the shell script's. */
export function recordJob({ job, sizeGiB, standings }: JobResult): object {
  const script = standings.find(({ name }) => name === floor)?.seconds.median ?? Number.NaN
  const ratios = standings.map(({ name, seconds }) => [name, Number((seconds.median / script).toFixed(3))])
  return { job, sizeGiB, ratios: Object.fromEntries(ratios) as Readonly<Record<string, number>> }
}
