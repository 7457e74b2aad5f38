/**
 * What a release would bring, used as strangers do: each package alone, from its archive, in a project where an
 * undeclared import finds nothing; imported, and compiled strictly with its own declarations. Needs a build.
 */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { readJson, readPackages, type WorkspacePackage } from './checks/workspace.ts'

const root = path.resolve(import.meta.dirname, '..')
const require = createRequire(import.meta.url)
/** The Node.js that strangers have: the one that the tests run on. */
const strangersNode = process.env['TEST_NODE'] ?? process.execPath
const packages = readPackages(root)
const problems: string[] = []

/** Runs a program to its end; what it said is in the error where it fails. */
async function run(cwd: string, file: string, ...args: readonly string[]): Promise<string> {
  try {
    const options = { cwd, env: { ...process.env, CI: 'true' }, timeout: 300_000, maxBuffer: 64 * 1024 ** 2 }
    return (await promisify(execFile)(file, args, options)).stdout
  } catch (error) {
    const {
      stdout = '',
      stderr = '',
      message,
    } = error as { stdout?: string; stderr?: string; message: string }
    throw new Error(`${file} ${args.join(' ')} in ${cwd}\n${`${stdout}${stderr}`.trim() || message}`, {
      cause: error,
    })
  }
}

/** A step that breaks is a problem; the next one is tried all the same. */
async function attempt(what: string, step: () => Promise<void>): Promise<void> {
  try {
    await step()
    console.log(`${what}: in order`)
  } catch (error) {
    problems.push(what)
    console.log(`PROBLEM ${what}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function write(file: string, content: string | object): void {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
}

/** Every package gets a version from the waiting changesets, or has one. Tried on copies of the manifests. */
async function version(clone: string): Promise<void> {
  const files = packages.map(({ directory }) => `${directory}/package.json`)
  for (const file of ['package.json', 'pnpm-workspace.yaml', 'pnpm-lock.yaml', '.changeset', ...files]) {
    cpSync(path.join(root, file), path.join(clone, file), { recursive: true })
  }
  const git = (...words: string[]): Promise<string> =>
    run(clone, 'git', '-c', 'user.name=rehearsal', '-c', 'user.email=rehearsal@example.org', ...words)
  await git('init', '--quiet', '--initial-branch=main')
  await git('add', '--all')
  await git('commit', '--quiet', '--message', 'Everything')
  await run(clone, path.join(root, 'node_modules/.bin/changeset'), 'version')
  const unversioned = files.filter(
    (file) => (readJson(path.join(clone, file)) as { version: string }).version === '0.0.0',
  )
  if (unversioned.length > 0)
    throw new Error(`no changeset, and so never released: ${unversioned.join(', ')}`)
}

/** Packs everything, and installs each package into a project of its own, and into one with its optional peers. */
async function install(folder: string): Promise<void> {
  const archives: Record<string, string> = {}
  for (const { directory, manifest } of packages) {
    const packed = await run(
      path.join(root, directory),
      'pnpm',
      'pack',
      '--json',
      '--pack-destination',
      folder,
    )
    archives[manifest.name] = `file:${(JSON.parse(packed) as { filename: string }).filename}`
  }
  const project = (name: string, dependencies: Readonly<Record<string, string>>): void =>
    write(path.join(folder, name, 'package.json'), { name, private: true, type: 'module', dependencies })
  for (const { folder: name, manifest } of packages) {
    const own = { [manifest.name]: archives[manifest.name] ?? '' }
    project(name, own)
    const peers = Object.entries(manifest.peerDependencies ?? {})
    project(`${name}-with-peers`, {
      ...own,
      ...Object.fromEntries(peers.map(([peer, range]) => [peer, archives[peer] ?? range])),
    })
  }
  // Ours come from the archives wherever they are asked for; nothing lies at the top but what was asked for.
  const settings = {
    packages: ['*'],
    overrides: archives,
    hoist: false,
    autoInstallPeers: false,
    // Else who goes without an optional peer gets the copy of who has it.
    dedupePeerDependents: false,
    strictDepBuilds: false,
    minimumReleaseAge: 0,
  }
  write(path.join(folder, 'package.json'), { private: true })
  write(path.join(folder, 'pnpm-workspace.yaml'), settings)
  await run(folder, 'pnpm', 'install', '--prefer-offline')
}

/** Imports a package without its optional peers, then all of its entry points with them, and compiles these. */
async function use(folder: string, { folder: name, manifest }: WorkspacePackage): Promise<void> {
  const load = (where: string, modules: readonly string[]): Promise<string> => {
    const program = modules.map((module) => `await import(${JSON.stringify(module)})`).join('\n')
    return run(
      path.join(folder, where),
      strangersNode,
      '--input-type=module',
      '--eval',
      `${program}\nprocess.exit()`,
    )
  }
  const { exports = {}, bin = {} } = manifest
  const project = path.join(folder, `${name}-with-peers`)
  if ('.' in exports) await load(name, [manifest.name])
  const entries = Object.keys(exports)
    .filter((subpath) => subpath !== './package.json')
    .map((subpath) => path.posix.join(manifest.name, subpath))
  await load(`${name}-with-peers`, entries)
  const lines = entries.map((entry, index) => `export * as entry${index} from ${JSON.stringify(entry)}`)
  write(path.join(project, 'uses.ts'), `${lines.join('\n')}\nexport {}\n`)
  for (const resolution of ['nodenext', 'bundler']) {
    const compilerOptions = {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      target: 'es2024',
      lib: ['es2024', 'esnext.disposable'],
      module: resolution === 'bundler' ? 'esnext' : resolution,
      moduleResolution: resolution,
      typeRoots: [path.resolve(require.resolve('@types/node/package.json'), '../..')],
      types: ['node'],
      noEmit: true,
    }
    write(path.join(project, 'tsconfig.json'), { compilerOptions, files: ['uses.ts'] })
    await run(project, path.join(root, 'node_modules/.bin/tsc'))
  }
  for (const command of Object.keys(bin))
    await run(path.join(folder, name), `node_modules/.bin/${command}`, '--version')
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'disk-image-rehearsal-'))
try {
  await attempt('changesets', () => version(path.join(folder, 'changesets')))
  rmSync(path.join(folder, 'changesets'), { recursive: true, force: true })
  await attempt('pack and install', () => install(folder))
  for (const unit of packages) await attempt(unit.manifest.name, () => use(folder, unit))
} finally {
  if (process.argv.includes('--keep')) console.log(`Kept: ${folder}`)
  else rmSync(folder, { recursive: true, force: true })
}
console.log(problems.length === 0 ? 'rehearsal: in order' : `rehearsal: ${problems.length} problem(s)`)
if (problems.length > 0) process.exitCode = 1
