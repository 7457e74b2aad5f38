import { execa } from 'execa'
import { setTimeout as sleep } from 'node:timers/promises'

/** Our own command, in every job. */
export const ours = 'ours'
/** What a careful shell script does. */
export const script = 'script'

/** One way of doing a job. */
export interface Subject {
  readonly name: string
  /** The command, which is made anew for every run. */
  command(): readonly string[]
  /** Who is very slow takes part in no more rounds than this. @default all */
  readonly mostRuns?: number | undefined
  /** There is no result of it to compare. @default false */
  readonly bringsNothing?: boolean
  /** Why it can't run here. */
  readonly absent?: string | undefined
  /**
   * Looks at what the command printed.
   *
   * @returns seconds inside the call, where the command measures them itself
   * @throws where it does not say that the image was verified
   */
  read?(stdout: string): number | undefined
}

/** How one subject must stand against another; without `atMost` it is only shown. */
export interface Target {
  /** @default ours */
  readonly of?: string
  readonly against: string
  /** `wall`: the whole process; `call`: inside the call, where a command tells it; `cpu`: of all its processes. */
  readonly figure: 'wall' | 'call' | 'cpu'
  readonly atMost?: number
}

/** Something that is measured: the subjects take turns. */
export interface Job {
  readonly name: string
  readonly sizeGiB: number
  readonly subjects: readonly Subject[]
  readonly targets: readonly Target[]
  /** Most memory that our process may take, whatever the image's size. @default 200 */
  readonly memoryMiB?: number
  /** Puts everything as it was, before each run. */
  before(): Promise<void>
  /** @throws where the result is not byte for byte what it must be */
  check(): Promise<void>
  /** Gives back what the job holds. */
  close?(): Promise<void>
}

/** What one run took, over its whole process tree; memory is that of its largest process. */
export interface Run {
  readonly wall: number
  readonly call: number
  readonly cpu: number
  readonly rssBytes: number
}

/** Seconds in the middle, and how far they lie apart. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** What one job showed. */
export interface JobResult {
  readonly name: string
  readonly sizeGiB: number
  readonly runs: ReadonlyMap<string, readonly Run[]>
  /** Who could not take part, and why. */
  readonly absent: ReadonlyMap<string, string>
  readonly judgements: readonly Judgement[]
}

/** A target, and what came of it. */
export interface Judgement extends Omit<Target, 'figure'> {
  readonly figure: Target['figure'] | 'memory'
  readonly ratio: number
  readonly met: boolean | undefined
}

/** A command that took longer than this is stuck. */
const timeoutMs = 15 * 60_000

/** Node.js says of a child neither its processor time nor its memory. */
const measurer = `
import json, os, signal, sys, time
start = time.monotonic()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, setsid=True)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: os.killpg(pid, signal.SIGKILL))
_, status, usage = os.wait4(pid, 0)
print(json.dumps({'exitCode': os.waitstatus_to_exitcode(status), 'wall': time.monotonic() - start,
    'cpu': usage.ru_utime + usage.ru_stime, 'rssBytes': usage.ru_maxrss * 1024}), file=sys.stderr)
`

/** Runs a command to its end and measures it. @throws where it fails, with what it said */
async function measure(subject: Subject): Promise<Run> {
  const words = subject.command()
  const { stdout, stderr } = await execa('/usr/bin/python3', ['-c', measurer, ...words], {
    stdin: 'ignore',
    timeout: timeoutMs,
    maxBuffer: 16 * 1024 ** 2,
  })
  const lines = stderr.trimEnd().split('\n')
  const { exitCode, ...run } = JSON.parse(lines.pop() ?? '') as Omit<Run, 'call'> & { exitCode: number }
  if (exitCode !== 0) {
    throw new Error(
      `${words.join(' ')} ended with ${exitCode}:\n${[...lines, stdout].join('\n').slice(-4000)}`,
    )
  }
  return { ...run, call: subject.read?.(stdout) ?? run.wall }
}

/** @throws where there is no value */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const [min] = sorted
  const max = sorted.at(-1)
  if (min === undefined || max === undefined) throw new Error('no values')
  const [low = min, high = min] = [(sorted.length - 1) / 2].flatMap((at) => [
    sorted[Math.floor(at)],
    sorted[Math.ceil(at)],
  ])
  return { median: (low + high) / 2, min, max }
}

/** Compares with the targets. One whose other side is absent is not judged; without its own side it is missed. */
export function judge(
  { targets, memoryMiB = 200 }: Pick<Job, 'targets' | 'memoryMiB'>,
  runs: ReadonlyMap<string, readonly Run[]>,
): Judgement[] {
  const judgements = targets.flatMap((target) => {
    const { of = ours, against, figure, atMost } = target
    const [own, other] = [runs.get(of), runs.get(against)]
    if (other === undefined || (own === undefined && atMost === undefined)) return []
    const median = (list: readonly Run[]): number => spreadOf(list.map((run) => run[figure])).median
    const ratio = own === undefined ? Infinity : median(own) / median(other)
    return [{ ...target, ratio, met: atMost === undefined ? undefined : ratio <= atMost }]
  })
  const memory = Math.max(...(runs.get(ours) ?? []).map(({ rssBytes }) => rssBytes))
  const ratio = memory > 0 ? memory / 1024 ** 2 / memoryMiB : Infinity
  return [...judgements, { against: `${memoryMiB} MiB`, figure: 'memory', ratio, atMost: 1, met: ratio <= 1 }]
}

/**
 * Runs a job: all subjects in turn, as many rounds as asked for. Who fails or brings a wrong result, in whichever
 * round, is out.
 *
 * @param warmUp everybody runs once before, which doesn't count
 */
export async function runJob(job: Job, rounds: number, warmUp: boolean): Promise<JobResult> {
  const absent = new Map<string, string>()
  const runs = new Map<string, Run[]>()
  for (const { name, absent: reason } of job.subjects) if (reason !== undefined) absent.set(name, reason)
  for (let round = warmUp ? 0 : 1; round <= rounds; round += 1) {
    // Every other round the other way round, so that nobody always follows the same one.
    for (const subject of round % 2 === 0 && round > 0 ? job.subjects.toReversed() : job.subjects) {
      const { name, mostRuns = Infinity, bringsNothing = false } = subject
      if (absent.has(name) || (runs.get(name)?.length ?? 0) >= mostRuns) continue
      try {
        await job.before()
        const run = await measure(subject)
        if (!bringsNothing) await job.check()
        if (round > 0) runs.set(name, [...(runs.get(name) ?? []), run])
      } catch (error) {
        absent.set(
          name,
          `failed in round ${round}: ${error instanceof Error ? error.message : String(error)}`,
        )
        runs.delete(name)
      }
    }
  }
  return { name: job.name, sizeGiB: job.sizeGiB, runs, absent, judgements: judge(job, runs) }
}

/**
 * Waits until a run begins with the same disk and memory as every other: all that is still to be written is.
 *
 * And a virtual machine's free memory goes back to its host after about two seconds (free page reporting), and costs
 * more than a second of processor time per GiB to get again. Whoever runs right after somebody who has just left a few
 * GiB has them for nothing: the order would decide, and an upload of 3 GiB take 1.4 s or 6.
 */
export async function settle(): Promise<void> {
  await execa('sync')
  await sleep(4000)
}
