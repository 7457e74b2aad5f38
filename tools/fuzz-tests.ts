/**
 * A part of `pnpm fuzz` that is made of tests: their sample and more of it, with another seed each time.
 *
 *     node fuzz-tests.ts PROJECT FILE [--seed N] [--seconds S] [--go-on]
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { campaignVariable, fuzz, type FuzzCounts } from '@disk-image/testing'

const [project = '', file = ''] = process.argv.slice(2)
const results = path.join(tmpdir(), `disk-image-fuzz-${process.pid}.json`)

/** A test ends by its own timeout. */
const mostSeconds = 600

await fuzz(run, { mostSeconds })

function run(seed: number, counts: FuzzCounts): void {
  const args = ['run', '--project', project, file, '--reporter=json', `--outputFile.json=${results}`]
  const { status, stderr } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', ...args], {
    env: { ...process.env, [campaignVariable]: String(seed) },
    encoding: 'utf8',
  })
  const report = JSON.parse(readFileSync(results, 'utf8')) as VitestRun
  rmSync(results)
  counts['tests'] = (counts['tests'] ?? 0) + report.numPassedTests
  const messages = report.testResults.flatMap((one) => [
    one.message,
    ...one.assertionResults.flatMap((test) =>
      test.failureMessages.map((text) => `${test.fullName}: ${text}`),
    ),
  ])
  if (status !== 0) throw new Error([...messages.filter(Boolean), stderr].join('\n').slice(0, 8000))
}

interface VitestRun {
  readonly numPassedTests: number
  readonly testResults: readonly {
    readonly message: string
    readonly assertionResults: readonly {
      readonly fullName: string
      readonly failureMessages: readonly string[]
    }[]
  }[]
}
