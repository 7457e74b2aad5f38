/** Measures the command against a careful shell script and against the original; see docs/performance.md. */
import { execa } from 'execa'
import { writeFileSync } from 'node:fs'
import os from 'node:os'
import { parseArgs } from 'node:util'
import { openFixture, repository } from './fixture.ts'
import { plans } from './jobs.ts'
import { ours, runJob, script, spreadOf, type JobResult, type Judgement } from './run-job.ts'
import { cinder, requireTools } from './subjects.ts'

/** Benchmarks that packages bring along, and the most that a result's `ratio` may be, by its `workload`. */
const packageBenchmarks: Readonly<
  Record<string, { readonly file: string; readonly atMost: Readonly<Record<string, number>> }>
> = {
  'vhd-coalesce': { file: 'packages/vhd/bench/coalesce.ts', atMost: { A: 1.3, B: 1.6 } },
  'format-verdict': { file: 'packages/format-policy/bench/inspector.ts', atMost: { '*': 0.2 } },
}

const names = [...plans.map(({ name }) => name), ...Object.keys(packageBenchmarks)]

const usage = `pnpm bench [-- options]

  --quick        images of 1 GiB, 3 rounds        (otherwise 1, 3 and 10 GiB, 5 rounds)
  --size N[,N…]  images of so many GiB
  --rounds N     so many rounds
  --only NAME[,NAME…]
                 only these jobs; for a name that no job has, those that contain it:
                 ${names.join(', ')}
                 (link-… and sparse-… run only where they are asked for)
  --json FILE    writes what the documentation draws to FILE
`

const { values } = parseArgs({
  // pnpm passes its own separator on.
  args: process.argv.slice(process.argv[2] === '--' ? 3 : 2),
  options: {
    quick: { type: 'boolean', default: false },
    size: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds ?? (values.quick ? 3 : 5))
const sizes = (values.size ?? (values.quick ? '1' : '1,3,10')).split(',').map(Number)
const only = values.only?.split(',')

function isWanted(name: string, onDemand = false): boolean {
  if (only === undefined) return !onDemand
  return only.some((one) => (names.includes(one) ? name === one : name.includes(one)))
}

function describeJudgement({ of = 'ours', against, figure, ratio, atMost, met }: Judgement): string {
  const verdict = met === undefined ? '-     ' : met ? 'met   ' : 'MISSED'
  const limit = atMost === undefined ? 'for information' : `at most ${atMost.toFixed(2)}`
  return `  ${verdict}  ${figure} of ${of} / ${against}: ${ratio.toFixed(2)} (${limit})`
}

/** One job as text: who took how long, and which target was met. */
function describe({ name, sizeGiB, runs, absent, judgements }: JobResult): string {
  const rows = [...runs].map(([subject, list]) => {
    const show = (figure: 'wall' | 'call' | 'cpu'): string => {
      const { median, min, max } = spreadOf(list.map((run) => run[figure]))
      return `${figure} ${median.toFixed(2)} s (${min.toFixed(2)}–${max.toFixed(2)})`.padEnd(28)
    }
    const memory = Math.max(...list.map(({ rssBytes }) => rssBytes)) / 1024 ** 2
    return `  ${subject.padEnd(22)}${show('wall')}${show('call')}${show('cpu')}${memory.toFixed(0)} MiB, ${list.length} runs`
  })
  const out = [...absent].map(([subject, reason]) => `  ${subject} did not take part: ${reason}`)
  return [`${name}, ${sizeGiB} GiB`, ...rows, ...out, ...judgements.map(describeJudgement)].join('\n')
}

/** What the documentation draws of a job: median times as multiples of the script's. */
function recordJob({ name, sizeGiB, runs }: JobResult): object[] {
  const median = (subject: string): number =>
    spreadOf((runs.get(subject) ?? []).map(({ wall }) => wall)).median
  if (!runs.has(script)) return []
  const ratios = [ours, cinder]
    .filter((subject) => runs.has(subject))
    .map((subject) => [subject, Number((median(subject) / median(script)).toFixed(1))])
  return [{ job: name, sizeGiB, ratios: Object.fromEntries(ratios) as Record<string, number> }]
}

/** Every wanted job on images of one size. */
async function runSize(
  sizeGiB: number,
  chosen: typeof plans,
  done: (result: JobResult) => void,
): Promise<void> {
  if (chosen.length === 0) return
  console.error(`images of ${sizeGiB} GiB …`)
  await using fixture = await openFixture(sizeGiB)
  for (const plan of chosen) {
    const { name, impossible } = plan
    if (impossible !== undefined) {
      console.log(`\n${name}: left out, ${impossible}`)
      continue
    }
    console.error(`${name}, ${sizeGiB} GiB …`)
    // Large images take minutes, and programs and caches are warm by then.
    const result = await runJob(
      { name, sizeGiB, ...(await plan.open(fixture)) },
      rounds,
      sizeGiB <= (sizes[0] ?? 0) && sizeGiB < 10,
    )
    console.log(`\n${describe(result)}`)
    done(result)
  }
}

/** A benchmark of a package. One without a result to judge has shown nothing, which is a miss. */
async function runPackage(name: string): Promise<Judgement[]> {
  const { file = '', atMost = {} } = packageBenchmarks[name] ?? {}
  const words = [
    '--conditions=@disk-image/source',
    '--no-warnings',
    file,
    '--json',
    '--repeat',
    String(rounds),
  ]
  const { stdout } = await execa(process.execPath, words, {
    cwd: repository,
    stdin: 'ignore',
    timeout: 20 * 60_000,
  })
  const { results = [] } = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as {
    readonly results?: readonly { readonly workload?: string; readonly ratio?: number }[]
  }
  const judgements = results.flatMap(({ workload = '', ratio }): Judgement[] => {
    const limit = atMost[workload] ?? atMost['*']
    if (ratio === undefined || limit === undefined) return []
    return [{ of: workload, against: 'floor', figure: 'wall', ratio, atMost: limit, met: ratio <= limit }]
  })
  const none: Judgement = { against: 'no result', figure: 'wall', ratio: Infinity, met: false }
  console.log(`\n${name}\n${judgements.map(describeJudgement).join('\n')}`)
  return judgements.length > 0 ? judgements : [none]
}

async function main(): Promise<void> {
  if (values.help) {
    console.log(usage)
    return
  }
  const unknown = (only ?? []).filter((one) => !names.some((name) => name.includes(one)))
  // Nothing to run would otherwise be no target missed.
  if (unknown.length > 0)
    throw new Error(`--only ${unknown.join(',')}: no such job; there are ${names.join(', ')}`)
  if (![rounds, ...sizes].every((number) => number > 0))
    throw new Error('--size and --rounds are numbers above 0')
  requireTools()
  const [load = 0] = os.loadavg()
  if (load > 0.5) console.log(`This machine is busy (load ${load.toFixed(1)}): expect noise.`)
  const results: JobResult[] = []
  const done = (result: JobResult): void => {
    results.push(result)
    // After each of them: a run takes long, and what it has found shall outlive its end.
    const figures = { jobs: results.flatMap(recordJob) }
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`)
  }
  const wanted = plans.filter(({ name, onDemand }) => isWanted(name, onDemand))
  for (const sizeGiB of sizes) {
    const chosen = wanted.filter(
      (plan) => plan.sizeGiB === undefined && (sizeGiB === sizes[0] || plan.firstSizeOnly !== true),
    )
    await runSize(sizeGiB, chosen, done)
  }
  for (const sizeGiB of new Set(wanted.flatMap((plan) => plan.sizeGiB ?? []))) {
    await runSize(
      sizeGiB,
      wanted.filter((plan) => plan.sizeGiB === sizeGiB),
      done,
    )
  }
  const judgements = results.flatMap((result) => result.judgements)
  for (const name of Object.keys(packageBenchmarks))
    if (isWanted(name)) judgements.push(...(await runPackage(name)))
  const missed = judgements.filter(({ met }) => met === false).length
  console.log(missed === 0 ? '\nEvery target is met.' : `\n${missed} target(s) missed.`)
  if (missed > 0) process.exitCode = 1
}

// An exit of its own accord ends the servers, the commands and the loop device; a signal would not.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
await main()
