import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** The parts of vitest's JSON report that count. */
interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly {
    readonly status: string
    readonly assertionResults: readonly { readonly status: string }[]
  }[]
}

/** How a run of the tests came out. */
export interface TestCounts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** Counts tests; a file that failed without a failed test of its own (it doesn't load) counts as one. */
export function countTests(report: Report): TestCounts {
  const brokenFiles = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  )
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + brokenFiles.length,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

const [, program, file] = process.argv
if (file !== undefined && path.resolve(program ?? '') === fileURLToPath(import.meta.url)) {
  const { passed, failed, skipped } = countTests(JSON.parse(readFileSync(file, 'utf8')) as Report)
  console.log(`${passed} ${failed} ${skipped}`)
}
