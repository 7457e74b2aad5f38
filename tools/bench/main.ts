/** Measures the packages against a careful shell script and against the original; see docs/architecture/overview.md. */
import { writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { findMissing, openArena } from './arena.ts'
import { fetchOffers } from './fetch-jobs.ts'
import { isWanted, parseOptions, usage, type BenchOptions } from './options.ts'
import { packageBenchmarks, runPackageBenchmark, type PackageResult } from './package-benchmarks.ts'
import { describeJob, describeJudgement } from './report.ts'
import { recordJob, runJob, type JobResult } from './run-job.ts'
import { uploadOffers } from './upload-job.ts'

const repository = path.resolve(import.meta.dirname, '../..')
const offers = [...fetchOffers, ...uploadOffers]
const allNames = [...offers, ...packageBenchmarks].map(({ name }) => name)

function wanted(options: BenchOptions, name: string): boolean {
  return isWanted(options.only, name, allNames)
}

/** Every wanted job on images of one size. */
async function runSize(
  options: BenchOptions,
  sizeGiB: number,
  missing: Readonly<Record<string, string | undefined>>,
  done: (result: JobResult) => void,
): Promise<void> {
  const chosen = offers.filter(
    ({ name, firstSizeOnly }) =>
      wanted(options, name) && (firstSizeOnly !== true || sizeGiB === options.sizesGiB[0]),
  )
  if (chosen.length === 0) return
  console.error(`images of ${sizeGiB} GiB …`)
  await using arena = await openArena(sizeGiB)
  for (const offer of chosen) {
    const { name, impossible } = offer
    if (impossible !== undefined) {
      console.log(`\n${name}: left out, ${impossible}`)
      continue
    }
    const job = await offer.open(arena)
    try {
      const progress = (round: number): void => {
        console.error(`${name}, ${sizeGiB} GiB: round ${round} of ${options.rounds}`)
      }
      // Large images take minutes, and programs and caches are warm by then.
      const warmUp = sizeGiB === options.sizesGiB[0] && sizeGiB < 10
      const result = await runJob(job, options.rounds, missing, warmUp, progress)
      console.log(`\n${describeJob(result)}`)
      done(result)
    } finally {
      await job.close()
    }
  }
}

/** The packages' own benchmarks. */
async function runPackages(options: BenchOptions, done: (result: PackageResult) => void): Promise<void> {
  for (const benchmark of packageBenchmarks) {
    if (!wanted(options, benchmark.name)) continue
    console.error(`${benchmark.name} …`)
    const result = await runPackageBenchmark(repository, benchmark, options.rounds)
    if (result === undefined) continue
    console.log(`\n${result.name}\n${result.judgements.map(describeJudgement).join('\n')}`)
    done(result)
  }
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2))
  if (options.help) {
    console.log(usage)
    return
  }
  // Nothing to run would otherwise be no target missed.
  for (const one of options.only ?? []) {
    if (!allNames.some((name) => isWanted([one], name, allNames)))
      throw new Error(`--only ${one}: no such job; there are ${allNames.join(', ')}`)
  }
  const missing = await findMissing()
  if (options.scaling) {
    if (missing['ours'] !== undefined) throw new Error(missing['ours'])
    const { runScaling } = await import('./scaling/run-scaling.ts')
    await runScaling(options)
    return
  }
  for (const [name, reason] of Object.entries(missing)) {
    if (reason !== undefined) console.log(`${name} can't take part: ${reason}`)
  }
  const [load = 0] = os.loadavg()
  if (load > 0.5) console.log(`This machine is busy (load ${load.toFixed(1)}): expect noise.`)
  const startedAt = new Date().toISOString()
  const jobs: JobResult[] = []
  const packages: PackageResult[] = []
  // After each of them: a run takes long, and what it has found shall outlive its end.
  const save = (): void => {
    if (options.jsonFile === undefined) return
    const figures = { startedAt, jobs: jobs.map(recordJob) }
    writeFileSync(options.jsonFile, `${JSON.stringify(figures, null, 2)}\n`)
  }
  for (const sizeGiB of options.sizesGiB) {
    await runSize(options, sizeGiB, missing, (result) => {
      jobs.push(result)
      save()
    })
  }
  await runPackages(options, (result) => packages.push(result))
  const judgements = [...jobs, ...packages].flatMap((result) => result.judgements)
  const missed = judgements.filter(({ met }) => !met).length
  console.log(missed === 0 ? '\nEvery target is met.' : `\n${missed} target(s) missed.`)
  if (missed > 0) process.exitCode = 1
}

// An exit of its own accord ends the server, the commands and the loop device; a signal would not.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
await main()
