import { execa } from 'execa'
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { Judgement } from './run-job.ts'

/** A benchmark that a package brings along. With `--json` it prints one object with its `results`. */
export interface PackageBenchmark {
  readonly name: string
  readonly file: string
  /** Most that a result's `ratio` to its floor may be, by its `workload`; `*` for every other. */
  readonly targets: Readonly<Record<string, number>>
}

/** What a package's benchmark showed. */
export interface PackageResult {
  readonly name: string
  readonly judgements: readonly Judgement[]
}

interface Output {
  readonly results?: readonly { readonly workload?: string; readonly ratio?: number }[]
}

/** The benchmarks that packages have, and what they must reach. */
export const packageBenchmarks: readonly PackageBenchmark[] = [
  { name: 'vhd-coalesce', file: 'packages/vhd/bench/coalesce.ts', targets: { A: 1.3, B: 1.6 } },
  { name: 'format-verdict', file: 'packages/format-policy/bench/inspector.ts', targets: { '*': 0.2 } },
  // Eight images at once reach at least 0.9 of the best single streams.
  { name: 'many', file: 'tools/bench/scaling/many.ts', targets: { '*': 1 / 0.9 } },
]

/** Judges each result that has a ratio. A benchmark without any has shown nothing, which is a miss. */
export function judgeResults(targets: PackageBenchmark['targets'], output: Output): Judgement[] {
  const judgements = (output.results ?? []).flatMap(({ workload = '', ratio }) => {
    const atMost = targets[workload] ?? targets['*']
    if (ratio === undefined || atMost === undefined) return []
    return [{ what: `ours / floor, ${workload}`, value: ratio, atMost, met: ratio <= atMost }]
  })
  if (judgements.length > 0) return judgements
  return [{ what: 'no result to judge', value: Infinity, atMost: 0, met: false }]
}

/**
 * Runs a package's benchmark.
 *
 * @throws where it fails, with what it said
 */
export async function runPackageBenchmark(
  repository: string,
  { name, file, targets }: PackageBenchmark,
  rounds: number,
): Promise<PackageResult | undefined> {
  if (!existsSync(path.join(repository, file))) return undefined
  const flags = ['--conditions=@disk-image/source', '--no-warnings']
  const { stdout } = await execa(process.execPath, [...flags, file, '--json', '--repeat', String(rounds)], {
    cwd: repository,
    stdin: 'ignore',
    stderr: 'inherit',
    timeout: 20 * 60_000,
  })
  const figures = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Output
  return { name, judgements: judgeResults(targets, figures) }
}
