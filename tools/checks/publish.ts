import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { runAsProgram, type Problem } from './report.ts'
import { readPackages, type WorkspacePackage } from './workspace.ts'

const run = promisify(execFile)

/** What a failed program said, on either stream. */
function outputOf(error: unknown): string {
  const { stdout = '', stderr = '', message } = error as { stdout?: string; stderr?: string; message: string }
  return `${stdout}${stderr}`.trim() || message
}

/** The archive that a release would upload. */
async function pack(root: string, unit: WorkspacePackage, folder: string): Promise<string> {
  const { stdout } = await run('pnpm', ['pack', '--json', '--pack-destination', folder], {
    cwd: path.join(root, unit.directory),
  })
  return (JSON.parse(stdout) as { filename: string }).filename
}

/** Problems of one packed archive, as publint and attw see them. */
async function checkArchive(root: string, unit: WorkspacePackage, archive: string): Promise<Problem[]> {
  const linters: [string, string[]][] = [['publint', ['run', archive, '--strict']]]
  // A command has nothing that one could import.
  if ('.' in (unit.manifest.exports ?? {})) {
    linters.push([
      'attw',
      [archive, '--profile', 'esm-only', '--no-emoji', '--no-color', '--format', 'ascii'],
    ])
  }
  const problems: Problem[] = []
  for (const [file, args] of linters) {
    try {
      await run(path.join(root, 'node_modules/.bin', file), args, { cwd: root })
    } catch (error) {
      problems.push({ where: unit.directory, what: `${file} objects:\n${outputOf(error)}` })
    }
  }
  return problems
}

/**
 * Packs every package and lets publint and attw judge the archives. Needs a build.
 *
 * @param root the repository's folder
 */
async function checkPublish(root: string): Promise<Problem[]> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'disk-image-pack-'))
  const problems: Problem[] = []
  try {
    for (const unit of readPackages(root)) {
      if (!existsSync(path.join(root, unit.directory, 'dist'))) {
        problems.push({ where: unit.directory, what: 'is not built; run pnpm build' })
        continue
      }
      problems.push(...(await checkArchive(root, unit, await pack(root, unit, folder))))
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return problems
}

runAsProgram(import.meta.url, 'publish', checkPublish)
