/**
 * Releases everything to a registry on the loopback interface, and uses it as strangers do: each package alone, in a
 * project where an undeclared import finds nothing.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { readPackages, type WorkspacePackage } from '../checks/workspace.ts'
import { commitAll, copyRepository } from './copy.ts'
import { compile, createProject, installWithPnpm } from './project.ts'
import { type Registry, startRegistry } from './registry.ts'
import { run, strangersNode } from './run.ts'

const root = path.resolve(import.meta.dirname, '../..')
const problems: string[] = []

/** A step that breaks is a problem; the next one is tried all the same. */
async function attempt(what: string, step: () => Promise<void>): Promise<void> {
  const started = performance.now()
  try {
    await step()
    console.log(`${what}: in order, ${((performance.now() - started) / 1000).toFixed(0)} s`)
  } catch (error) {
    problems.push(what)
    console.log(`PROBLEM ${what}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** What the workflow does when its pull request is merged. */
async function release(clone: string, registry: Registry): Promise<void> {
  const environment = { ...registry.environment, CI: 'true' }
  await run('pnpm', ['exec', 'changeset', 'version'], { cwd: clone, environment })
  await commitAll(clone, 'Version packages')
  await run('pnpm', ['exec', 'changeset', 'publish'], { cwd: clone, environment, timeoutMs: 300_000 })
  for (const { manifest } of readPackages(clone)) {
    const { name, version } = manifest as typeof manifest & { readonly version: string }
    if (version === '0.0.0') throw new Error(`${name} has no changeset, and would never be released`)
    if (!(await registry.versions(name)).includes(version)) throw new Error(`${name} ${version} is missing`)
  }
}

/** The package alone: every entry point is imported, and compiles strictly under both ways to find modules. */
async function useAlone(unit: WorkspacePackage, registry: Registry, folder: string): Promise<void> {
  const { name, exports = {}, bin, peerDependencies = {} } = unit.manifest
  const project = createProject(path.join(folder, unit.folder))
  await installWithPnpm(project, registry, [name])
  const load = (program: string): Promise<string> =>
    run(strangersNode, ['--input-type=module', '--eval', `${program}\nprocess.exit()`], { cwd: project })
  // The main entry loads without optional peers; an entry that is about one needs it.
  if ('.' in exports) await load(`await import(${JSON.stringify(name)})`)
  const peers = Object.keys(peerDependencies)
  if (peers.length > 0) await installWithPnpm(project, registry, peers)
  const entries = Object.entries(exports)
    .filter(([, entry]) => typeof entry !== 'string')
    .map(([subpath]) => path.posix.join(name, subpath))
  await load(entries.map((entry) => `await import(${JSON.stringify(entry)})`).join('\n'))
  if (entries.length > 0) {
    await compile(project, 'nodenext', entries)
    await compile(project, 'bundler', entries)
  }
  for (const command of Object.keys(bin ?? {})) {
    await run(path.join(project, 'node_modules/.bin', command), ['--version'], { cwd: project })
  }
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'disk-image-rehearsal-'))
try {
  await using registry = await startRegistry(path.join(folder, 'registry'))
  const clone = path.join(folder, 'clone')
  mkdirSync(clone)
  await attempt('release', async () => {
    await copyRepository(root, clone)
    await release(clone, registry)
  })
  for (const unit of problems.length === 0 ? readPackages(root) : []) {
    await attempt(unit.manifest.name, () => useAlone(unit, registry, path.join(folder, 'projects')))
  }
} finally {
  if (process.argv.includes('--keep')) console.log(`Kept: ${folder}`)
  else rmSync(folder, { recursive: true, force: true })
}
console.log(problems.length === 0 ? 'rehearsal: in order' : `rehearsal: ${problems.length} problem(s)`)
if (problems.length > 0) process.exitCode = 1
