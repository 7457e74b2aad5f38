import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { execa } from 'execa'
import type { WorkspacePackage } from '../checks/workspace.ts'
import { judgeLoad, readBudget, summarize } from './budgets.ts'
import { type ExampleRun, exampleRuns, placeFiles } from './examples.ts'
import { findUnasked, readInstalled, sizeOf } from './installed.ts'
import { measureLoad } from './load-time.ts'
import { compile, createProject, installWithNpm, installWithPnpm } from './project.ts'
import { readInstructions } from './readme.ts'
import type { Registry } from './registry.ts'
import { strangersNode } from './run.ts'
import type { Stage } from './stage.ts'

/** What was found out about one package, installed by a stranger. */
export interface AloneReport {
  readonly name: string
  readonly version: string
  /** Packages that arrive with it. */
  readonly brings: readonly string[]
  /** Its own archive. */
  readonly archiveKiB: number
  /** Everything that its installation puts onto the disk. */
  readonly installKiB: number
  /** Absent for a command. */
  readonly loadMs: { readonly median: number; readonly best: number } | undefined
  readonly problems: readonly string[]
}

/** The package alone in an npm project: what arrives, what it weighs, how long it takes to load. */
export async function installAlone(
  unit: WorkspacePackage,
  registry: Registry,
  folder: string,
  busy: boolean,
): Promise<AloneReport> {
  const { name } = unit.manifest
  const problems: string[] = []
  const project = createProject(path.join(folder, `npm-${unit.folder}`))
  await installWithNpm(project, registry, [name])
  const installed = readInstalled(project)
  const itself = installed.find((each) => each.directory === `node_modules/${name}`)
  const unasked = findUnasked(installed, [name])
  if (unasked.length > 0) problems.push(`brings what nobody declares: ${unasked.join(', ')}`)
  const declared = Object.keys(unit.manifest.dependencies ?? {})
  const direct = itself?.needs ?? []
  const undeclared = direct.filter((each) => !declared.includes(each))
  if (undeclared.length > 0) problems.push(`was published with other dependencies: ${undeclared.join(', ')}`)
  const twice = Map.groupBy(installed, (each) => each.name)
  for (const [each, copies] of twice) {
    if (each.startsWith('@disk-image/') && copies.length > 1) problems.push(`brings ${each} twice`)
  }
  const budget = readBudget(unit.folder)
  const installKiB = Math.round(sizeOf(path.join(project, 'node_modules')) / 1024)
  if (installKiB > budget.installKiB) {
    problems.push(`weighs ${installKiB} KiB installed; the budget is ${budget.installKiB}`)
  }
  const entries = Object.entries(unit.manifest.exports ?? {}).filter(([, entry]) => typeof entry !== 'string')
  const times = '.' in (unit.manifest.exports ?? {}) ? await measureLoad(project, name) : undefined
  const slow = times && judgeLoad(times, budget.loadMs, busy)
  if (slow !== undefined) problems.push(slow)
  for (const [subpath] of entries) {
    const specifier = path.posix.join(name, subpath)
    const optional = Object.keys(unit.manifest.peerDependencies ?? {})
    // An entry that is about an optional peer needs it, and says so; every other must load without.
    const failure = await importFails(project, specifier)
    if (failure !== undefined && !optional.some((peer) => failure.includes(`'${peer}'`))) {
      problems.push(`${specifier} can't be imported: ${failure}`)
    }
  }
  const version = itself?.version ?? '?'
  return {
    name,
    version,
    archiveKiB: Math.round((await registry.archiveBytes(name, version)) / 1024),
    brings: installed.map((each) => each.name).filter((each) => each !== name),
    installKiB,
    loadMs: times && summarize(times),
    problems,
  }
}

async function importFails(project: string, specifier: string): Promise<string | undefined> {
  const words = [
    '--input-type=module',
    '--eval',
    `await import(${JSON.stringify(specifier)}); process.exit()`,
  ]
  const { failed, stderr } = await execa(strangersNode, words, { cwd: project, reject: false })
  return failed ? stderr : undefined
}

/** The README's first example, in a pnpm project with what the README says to install. */
export async function runReadme(
  root: string,
  unit: WorkspacePackage,
  registry: Registry,
  stage: Stage,
  folder: string,
): Promise<string[]> {
  const { name } = unit.manifest
  const file = path.join(root, unit.directory, 'README.md')
  const { install, examples } = readInstructions(existsSync(file) ? readFileSync(file, 'utf8') : '')
  const [example, next] = examples
  if (example === undefined) return ['has no example under "Use"']
  const names = unit.manifest.bin === undefined ? install : [name]
  if (!names.includes(name)) return [`says to install ${names.join(', ') || 'nothing'}, not itself`]
  const project = createProject(path.join(folder, `pnpm-${unit.folder}`))
  await installWithPnpm(project, registry, names)
  const staged = ({ code: written }: { readonly code: string }): string =>
    Object.entries(stage.paths).reduce((text, [from, to]) => text.replaceAll(from, to), written)
  const code = staged(example)
  const how: ExampleRun = exampleRuns(stage)[unit.folder] ?? { check: () => undefined }
  mkdirSync(path.join(project, 'work'), { recursive: true })
  if (how.before !== undefined) {
    writeFileSync(path.join(project, 'before.js'), how.before)
    await start(project, stage, strangersNode, [path.join(project, 'before.js')])
  }
  const output =
    example.language === 'sh'
      ? await typeCommands(project, stage, code)
      : await runCode(project, stage, code, how, next === undefined ? '' : staged(next))
  const objection = how.check(output, path.join(project, 'work'))
  return objection === undefined ? [] : [`README, first example: ${objection}`]
}

async function start(
  project: string,
  stage: Stage,
  file: string,
  args: readonly string[],
  inputFile?: string,
): Promise<string> {
  const { all } = await execa(file, args, {
    cwd: path.join(project, 'work'),
    env: {
      ...stage.environment,
      PATH: `${project}/node_modules/.bin:${path.dirname(strangersNode)}:${process.env['PATH']}`,
    },
    ...(inputFile === undefined ? { stdin: 'ignore' } : { inputFile }),
    all: true,
    timeout: 60_000,
  })
  return all
}

/** As TypeScript under both ways to find modules, then as the JavaScript that comes of it. */
async function runCode(
  project: string,
  stage: Stage,
  code: string,
  how: ExampleRun,
  next: string,
): Promise<string> {
  const files = how.withNext === true ? ['example.ts', 'next.ts'] : ['example.ts']
  writeFileSync(path.join(project, 'example.ts'), code)
  if (how.withNext === true) writeFileSync(path.join(project, 'next.ts'), next)
  await compile(project, 'nodenext', files)
  await compile(project, 'bundler', files)
  const script = path.join(project, 'compiled-nodenext/example.js')
  await using beside = new AsyncDisposableStack()
  if (how.withNext === true) {
    const child = execa(strangersNode, [path.join(project, 'compiled-nodenext/next.js')], {
      cwd: path.join(project, 'work'),
      env: stage.environment,
      reject: false,
      forceKillAfterDelay: 5000,
    })
    beside.defer(async () => {
      child.kill()
      await child
    })
  }
  return await start(project, stage, strangersNode, [script, ...(how.args ?? [])], how.input)
}

async function typeCommands(project: string, stage: Stage, code: string): Promise<string> {
  placeFiles(stage, path.join(project, 'work'))
  return start(project, stage, 'bash', ['-euo', 'pipefail', '-c', code])
}
