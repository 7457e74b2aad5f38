import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { runAsProgram, type Problem } from '../report.ts'
import { readPackages, type WorkspacePackage } from '../workspace.ts'
import { showDifference } from './changes.ts'
import { readLevels } from './changeset-levels.ts'
import { recordCommands } from './command-record.ts'
import { checkLevels, type ComparedPackage } from './levels.ts'
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

/** What users had of a package at the base; nothing where it was never released. */
function readReleased(root: string, unit: WorkspacePackage, base: string): ComparedPackage['released'] {
  const record = git(root, 'show', `${base}:${unit.directory}/${recordName}`)
  const manifest = git(root, 'show', `${base}:${unit.directory}/package.json`)
  if (record === undefined || manifest === undefined) return undefined
  const { version } = JSON.parse(manifest) as { readonly version: string }
  return version === '0.0.0' ? undefined : { version, record }
}

/**
 * Compares what each package offers with its record, and the record with that of the branch's base.
 *
 * @param root the repository's folder
 * @param since the branch that this one goes to. @default 'origin/main'
 */
export async function checkApi(root: string, since?: string): Promise<Problem[]> {
  const base = findBase(root, since)
  const problems: Problem[] = []
  const compared: ComparedPackage[] = []
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
        what: `the package offers something else than the record says. If that is meant, run pnpm api:accept ${unit.folder} and commit the file.\n${showDifference(recorded, now)}`,
      })
    }
    compared.push({
      name: unit.manifest.name,
      where,
      dependencies: Object.keys(unit.manifest.dependencies ?? {}),
      now,
      released: readReleased(root, unit, base),
    })
  }
  return [...problems, ...checkLevels(compared, readLevels(root))]
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
