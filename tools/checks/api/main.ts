import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { runAsProgram, type Problem } from '../report.ts'
import { readPackages, type WorkspacePackage } from '../workspace.ts'
import { compareRecords, showDifference } from './changes.ts'
import { type Level, levelForBreaking, reaches, readLevels } from './changeset-levels.ts'
import { recordCommands } from './command-record.ts'
import { recordTypes } from './record.ts'

/** The record of a package lies beside its manifest. */
const recordName = 'api.txt'

/** What a package offers, from its build: types to import, or commands to type. */
function recordPackage(root: string, unit: WorkspacePackage): string {
  const title = `${unit.manifest.name}: what others can use. Written by pnpm api:accept.\n\n`
  const types = Object.values(unit.manifest.exports ?? {}).some((entry) => typeof entry !== 'string')
  return title + (types ? recordTypes(root, unit) : recordCommands(root, unit))
}

function isBuilt(root: string, unit: WorkspacePackage): boolean {
  return existsSync(path.join(root, unit.directory, 'dist'))
}

function git(root: string, ...words: string[]): string | undefined {
  try {
    return execFileSync('git', words, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return undefined
  }
}

/** The commit to compare with: where this branch left main, or the last commit. */
function findBase(root: string, since: string | undefined): string {
  const branch = since ?? 'origin/main'
  return git(root, 'merge-base', 'HEAD', branch)?.trim() ?? 'HEAD'
}

/** Whether what changed since the base goes with the waiting changesets. */
function checkLevel(
  root: string,
  unit: WorkspacePackage,
  base: string,
  now: string,
  level: Level,
): string | undefined {
  const before = git(root, 'show', `${base}:${unit.directory}/${recordName}`)
  const manifest = git(root, 'show', `${base}:${unit.directory}/package.json`)
  if (before === undefined || manifest === undefined) return undefined
  const { version } = JSON.parse(manifest) as { readonly version: string }
  // Nobody has what was never released.
  if (version === '0.0.0') return undefined
  const { breaking, changed } = compareRecords(before, now)
  const wanted = breaking.length > 0 ? levelForBreaking(version) : changed ? 'patch' : 'none'
  if (reaches(level, wanted)) return undefined
  const why =
    breaking.length > 0
      ? `breaks what users of ${version} have:\n${breaking.map((line) => `  ${line}\n`).join('')}`
      : `offers something else than ${version} did. `
  return `${why}That needs a changeset of level ${wanted} for ${unit.manifest.name}; there is ${level === 'none' ? 'none' : `one of ${level}`}. Run pnpm changeset.`
}

/**
 * Compares what each package offers with its record, and the record with that of the branch's base.
 *
 * @param root the repository's folder
 * @param since the branch that this one goes to. @default 'origin/main'
 */
export async function checkApi(root: string, since?: string): Promise<Problem[]> {
  const base = findBase(root, since)
  const levels = readLevels(root)
  const problems: Problem[] = []
  for (const unit of readPackages(root)) {
    const where = `${unit.directory}/${recordName}`
    if (!isBuilt(root, unit)) {
      problems.push({ where, what: 'the package is not built; run pnpm build' })
      continue
    }
    const now = recordPackage(root, unit)
    const recorded = existsSync(path.join(root, where)) ? readFileSync(path.join(root, where), 'utf8') : ''
    if (recorded !== now) {
      problems.push({
        where,
        what: `the package offers something else than the record says. If that is meant, run pnpm api:accept and commit the file.\n${showDifference(recorded, now)}`,
      })
    }
    const what = checkLevel(root, unit, base, now, levels.get(unit.manifest.name) ?? 'none')
    if (what !== undefined) problems.push({ where, what })
  }
  return problems
}

/** Writes the records anew, of all packages or of those named. */
async function acceptApi(root: string, folders: readonly string[]): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const unit of readPackages(root)) {
    if (folders.length > 0 && !folders.includes(unit.folder)) continue
    const where = `${unit.directory}/${recordName}`
    if (isBuilt(root, unit)) writeFileSync(path.join(root, where), recordPackage(root, unit))
    else problems.push({ where, what: 'the package is not built; run pnpm build' })
  }
  return problems
}

const since = process.argv.find((word) => word.startsWith('--since='))?.slice('--since='.length)
runAsProgram(import.meta.url, 'api', (root) =>
  process.argv.includes('--accept')
    ? acceptApi(
        root,
        process.argv.slice(2).filter((word) => !word.startsWith('-')),
      )
    : checkApi(root, since),
)
