import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { listProjectFiles, readPackages } from '../checks/workspace.ts'
import { run } from './run.ts'

/** A copy of the repository that releases may be tried in: with its build, its dependencies and a history of one. */
export async function copyRepository(root: string, folder: string): Promise<void> {
  for (const file of listProjectFiles(root)) cpSync(path.join(root, file), path.join(folder, file))
  for (const { directory, manifest } of readPackages(root)) {
    const dist = path.join(root, directory, 'dist')
    if (!existsSync(dist)) throw new Error(`${directory} is not built; run pnpm build`)
    cpSync(dist, path.join(folder, directory, 'dist'), { recursive: true })
    // Where a package was built can only be attested to in CI.
    const file = path.join(folder, directory, 'package.json')
    const text = readFileSync(file, 'utf8')
    const { publishConfig, ...rest } = JSON.parse(text) as typeof manifest
    const { provenance: _provenance, ...others } = publishConfig ?? {}
    writeFileSync(file, `${JSON.stringify({ ...rest, publishConfig: others }, undefined, 2)}\n`)
  }
  const git = (...words: string[]): Promise<string> => run('git', words, { cwd: folder })
  await git('init', '--quiet', '--initial-branch=main')
  await git('config', 'user.name', 'rehearsal')
  await git('config', 'user.email', 'rehearsal@example.org')
  await commitAll(folder, 'Everything')
  await run(
    'pnpm',
    ['install', '--frozen-lockfile', '--prefer-offline', '--filter', '{.}', '--filter', './packages/*'],
    { cwd: folder, environment: { CI: 'true' }, timeoutMs: 300_000 },
  )
}

export async function commitAll(folder: string, message: string): Promise<void> {
  await run('git', ['add', '--all'], { cwd: folder })
  await run('git', ['commit', '--quiet', '--message', message], { cwd: folder })
}
