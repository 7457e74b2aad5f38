import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { LoadTime } from './load-time.ts'

/** What a package may cost who installs it. */
export interface Budget {
  /** Milliseconds of the first `import()` of its main entry. */
  readonly loadMs: number
  /** KiB of everything that `npm install` puts into an empty project. */
  readonly installKiB: number
}

/** For a package that has none of its own. */
const usual: Budget = { loadMs: 120, installKiB: 8192 }

/** The budgets by the package's folder. */
export function readBudget(folder: string): Budget {
  const file = path.join(import.meta.dirname, 'budgets.json')
  const budgets = JSON.parse(readFileSync(file, 'utf8')) as Readonly<Record<string, Budget>>
  return budgets[folder] ?? usual
}

/** What a busy machine may take longer, in its best run. */
const leniency = 1.5

/**
 * What is wrong with some load times, where anything is. The budget holds for the median, which a busy machine
 * spoils: there the time of the processor in the best run is judged, leniently. What is really slow is slow every
 * time, and keeps the processor busy.
 */
export function judgeLoad(times: readonly LoadTime[], budgetMs: number, busy: boolean): string | undefined {
  const { median, best } = summarize(times)
  const leastWork = Math.min(best, ...times.map(({ cpuMs }) => cpuMs))
  const [judged, limit] = busy ? [leastWork, budgetMs * leniency] : [median, budgetMs]
  return judged <= limit ? undefined : `loads in ${judged.toFixed(1)} ms; the budget is ${budgetMs}`
}

/** Milliseconds as they passed. */
export function summarize(times: readonly LoadTime[]): { readonly median: number; readonly best: number } {
  const sorted = times.map(({ wallMs }) => wallMs).toSorted((a, b) => a - b)
  return {
    median: sorted[Math.floor(sorted.length / 2)] ?? Number.NaN,
    best: sorted[0] ?? Number.NaN,
  }
}
