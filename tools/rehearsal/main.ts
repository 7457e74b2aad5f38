import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { readPackages } from '../checks/workspace.ts'
import { type AloneReport, installAlone, runReadme } from './alone.ts'
import { tryInBrowser } from './browser.ts'
import { copyRepository } from './copy.ts'
import { startRegistry } from './registry.ts'
import {
  releaseBreaking,
  releaseFirst,
  releaseNothing,
  releasePatch,
  type ReleaseReport,
} from './releases.ts'
import { setStage } from './stage.ts'

const root = path.resolve(import.meta.dirname, '../..')
const started = performance.now()
const problems: string[] = []

function say(text: string): void {
  console.log(`${((performance.now() - started) / 1000).toFixed(0).padStart(4)} s  ${text}`)
}

function found(where: string, list: readonly string[]): void {
  for (const problem of list) {
    problems.push(`${where}: ${problem}`)
    say(`PROBLEM ${where}: ${problem}`)
  }
}

/** A step that breaks is a problem like any other; the next one is tried all the same. */
async function attempt<Result>(where: string, step: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await step()
  } catch (error) {
    found(where, [error instanceof Error ? error.message : String(error)])
    return undefined
  }
}

function tellAlone(report: AloneReport): void {
  const { name, version, brings, archiveKiB, installKiB, loadMs } = report
  const own = brings.filter((each) => each.startsWith('@disk-image/')).length
  const load =
    loadMs === undefined ? '' : `, loads in ${loadMs.median.toFixed(1)} ms (best ${loadMs.best.toFixed(1)})`
  say(
    `${name} ${version}: ${own} of ours and ${brings.length - own} others, archive ${archiveKiB} KiB, installed ${installKiB} KiB${load}`,
  )
  found(name, report.problems)
}

function list(versions: Readonly<Record<string, string>>): string {
  const words = Object.entries(versions).map(
    ([name, version]) => `${name.replace('@disk-image/', '')} ${version}`,
  )
  return words.join(', ') || 'nothing'
}

function tellRelease({ what, released, kept, problems: wrong }: ReleaseReport): void {
  say(`${what}: released ${list(released)}; as it was: ${list(kept)}`)
  found(what, wrong)
}

/**
 * Releases everything to a registry of our own and uses it as strangers do: each package alone, its README's first
 * example, the inspector in a browser; then a patch, a breaking change, and no change.
 */
async function rehearse(folder: string): Promise<void> {
  const busy = process.env['CI'] !== undefined || (os.loadavg()[0] ?? 0) > os.availableParallelism() / 2
  await using registry = await startRegistry(path.join(folder, 'registry'))
  say(`A registry at ${registry.url}`)
  const clone = path.join(folder, 'clone')
  mkdirSync(clone)
  await copyRepository(root, clone)
  say('A copy of the repository')
  tellRelease(await releaseFirst(clone, registry))
  await using stage = await setStage(path.join(folder, 'stage'))
  const projects = path.join(folder, 'projects')
  const reports: AloneReport[] = []
  for (const unit of readPackages(root)) {
    const { name } = unit.manifest
    const report = await attempt(name, () => installAlone(unit, registry, projects, busy))
    if (report !== undefined) {
      tellAlone(report)
      reports.push(report)
    }
    const wrong = await attempt(name, () => runReadme(root, unit, registry, stage, projects))
    if (wrong?.length === 0)
      say(`${name}: the README's first example runs (pnpm; nodenext, bundler, JavaScript)`)
    found(name, wrong ?? [])
  }
  const browser = await attempt('browser', () => tryInBrowser(registry, stage, projects))
  if (browser !== undefined) {
    say(
      `format-policy/inspector in Chromium, on a dropped file; the page's script has ${browser.bundleKiB} KiB`,
    )
    found('browser', browser.problems)
  }
  const releases: ReleaseReport[] = []
  for (const step of [releasePatch, releaseBreaking, releaseNothing]) {
    const report = await attempt(step.name, () => step(clone, registry, projects))
    if (report === undefined) break
    tellRelease(report)
    releases.push(report)
  }
  mkdirSync(path.join(root, '.cache'), { recursive: true })
  writeFileSync(
    path.join(root, '.cache/rehearsal.json'),
    `${JSON.stringify({ packages: reports, browser, releases }, undefined, 2)}\n`,
  )
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'disk-image-rehearsal-'))
try {
  await attempt('rehearsal', () => rehearse(folder))
} finally {
  if (process.argv.includes('--keep')) say(`Kept: ${folder}`)
  else rmSync(folder, { recursive: true, force: true })
}
say(problems.length === 0 ? 'rehearsal: in order' : `rehearsal: ${problems.length} problem(s)`)
if (problems.length > 0) process.exitCode = 1
