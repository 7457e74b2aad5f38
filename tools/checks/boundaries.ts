import { existsSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import path from 'node:path'
import { runAsProgram, type Problem } from './report.ts'
import { allowedPackages, effectRules, processState, programs, scope, withoutNode } from './rules.ts'
import { readSourceFile, type ImportedModule } from './source-file.ts'
import { listFiles, readJson, readPackages, type Manifest, type WorkspacePackage } from './workspace.ts'

/** What tests of any package may import beside its own dependencies. */
const testPackages: ReadonlySet<string> = new Set(['@disk-image/testing'])

/** The package that a specifier belongs to: `@a/b/c` is of `@a/b`. */
function packageOf(specifier: string): string {
  const parts = specifier.split('/')
  return parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

/** Built-in modules under one name, whether written with `node:` or without. */
function canonical(specifier: string): string {
  return isBuiltin(specifier) && !specifier.startsWith('node:') ? `node:${specifier}` : specifier
}

function isTest(file: string): boolean {
  return /\.(test|test-d|bench)\.ts$/.test(file) || /^packages\/[^/]+\/(test|bench)\//.test(file)
}

function matches(specifier: string, module: string): boolean {
  return specifier === module || specifier.startsWith(`${module}/`)
}

/** Problems of one import in the code that is shipped. */
function checkShippedImport(unit: WorkspacePackage, file: string, { specifier }: ImportedModule): string[] {
  const problems: string[] = []
  const module = canonical(specifier)
  if (isBuiltin(module)) {
    if (!specifier.startsWith('node:')) problems.push(`imports '${specifier}'; write '${module}'`)
    if (withoutNode.includes(unit.folder)) {
      problems.push(`imports '${specifier}', but ${unit.folder} runs where Node.js is not`)
    }
  } else {
    const name = packageOf(module)
    const own = { ...unit.manifest.dependencies, ...unit.manifest.peerDependencies }
    if (name !== unit.manifest.name && !(name in own)) {
      problems.push(
        `imports '${specifier}', which ${unit.manifest.name} does not declare in its dependencies`,
      )
    }
  }
  for (const rule of effectRules) {
    if (!rule.modules.some((effect) => matches(module, effect))) continue
    if (rule.allowedIn.some((folder) => file.startsWith(folder))) continue
    problems.push(`imports '${specifier}': ${rule.reason}`)
  }
  return problems
}

/** Problems of one import in a test. */
function checkTestImport(unit: WorkspacePackage, shared: Manifest, { specifier }: ImportedModule): string[] {
  if (isBuiltin(specifier)) return []
  const name = packageOf(specifier)
  const declared = {
    ...unit.manifest.dependencies,
    ...unit.manifest.peerDependencies,
    ...unit.manifest.devDependencies,
    ...shared.devDependencies,
  }
  if (name === unit.manifest.name || name in declared) return []
  return [`imports '${specifier}', which is in no dependencies of ${unit.manifest.name} or the workspace`]
}

/** Relative imports stay inside the package; a test may use the test helpers of what its package depends on. */
function checkRelativeImport(unit: WorkspacePackage, file: string, specifier: string): string[] {
  const target = path.posix.join(path.posix.dirname(file), specifier)
  const inside = isTest(file) ? `${unit.directory}/` : `${unit.directory}/src/`
  const [, sibling] = /^packages\/([^/]+)\/test\/helpers\//.exec(target) ?? []
  if (isTest(file) && `@disk-image/${sibling}` in (unit.manifest.dependencies ?? {})) return []
  return target.startsWith(inside) ? [] : [`imports '${specifier}', which is outside ${inside}`]
}

/** Problems of one file of a package. */
function checkFile(root: string, unit: WorkspacePackage, shared: Manifest, file: string): Problem[] {
  const source = readSourceFile(file, readFileSync(path.join(root, file), 'utf8'))
  const test = isTest(file)
  const problems = source.imports.flatMap((imported) => {
    if (imported.specifier.startsWith('.')) return checkRelativeImport(unit, file, imported.specifier)
    return test ? checkTestImport(unit, shared, imported) : checkShippedImport(unit, file, imported)
  })
  if (!test) {
    problems.push(...source.hidden)
    problems.push(
      ...source.mutableGlobals
        .filter((name) => processState[file]?.includes(name) !== true)
        .map((name) => `keeps state in the module: ${name}; keep it in an instance`),
    )
    if (source.readsEnvironment && !programs.includes(unit.folder)) {
      problems.push('reads process.env; a library takes what it needs as a parameter')
    }
  }
  return problems.map((what) => ({ where: file, what }))
}

/** Problems of a manifest's dependencies, and of the project references beside it. */
function checkManifest(root: string, unit: WorkspacePackage): Problem[] {
  const problems: Problem[] = []
  const allowed = allowedPackages[unit.folder]
  const where = `${unit.directory}/package.json`
  if (allowed === undefined) {
    return [{ where, what: `${unit.folder} is not in the graph of tools/checks/rules.ts` }]
  }
  const dependencies = { ...unit.manifest.dependencies, ...unit.manifest.peerDependencies }
  const siblings = Object.keys(dependencies).filter((name) => name.startsWith(scope))
  for (const name of siblings) {
    if (!allowed.includes(name.slice(scope.length))) {
      problems.push({
        where,
        what: `depends on ${name}; ${unit.folder} may know only ${allowed.join(', ') || 'nobody'}`,
      })
    }
    if (dependencies[name] !== 'workspace:^') {
      problems.push({ where, what: `asks for ${name} as '${dependencies[name]}'; write 'workspace:^'` })
    }
  }
  for (const name of Object.keys(unit.manifest.devDependencies ?? {})) {
    if (name.startsWith(scope) && !testPackages.has(name) && !allowed.includes(name.slice(scope.length))) {
      problems.push({
        where,
        what: `tests with ${name}; ${unit.folder} may know only ${allowed.join(', ') || 'nobody'}`,
      })
    }
  }
  for (const [name, range] of Object.entries(unit.manifest.dependencies ?? {})) {
    if (range.startsWith('catalog:')) {
      problems.push({
        where,
        what: `takes ${name} from the catalog; a runtime dependency needs a literal range`,
      })
    }
  }
  return [...problems, ...checkReferences(root, unit, siblings)]
}

interface Tsconfig {
  readonly references?: readonly { readonly path: string }[]
}

/** A package's project references are its workspace dependencies. */
function checkReferences(root: string, unit: WorkspacePackage, siblings: readonly string[]): Problem[] {
  const where = `${unit.directory}/tsconfig.json`
  if (!existsSync(path.join(root, where))) return [{ where, what: 'is missing' }]
  const { references = [] } = readJson(path.join(root, where)) as Tsconfig
  const actual = references.map((reference) => path.posix.join(unit.directory, reference.path))
  const expected = siblings.map((name) => `packages/${name.slice(scope.length)}`)
  return [
    ...expected
      .filter((name) => !actual.includes(name))
      .map((name) => ({ where, what: `has no reference to ${name}` })),
    ...actual
      .filter((name) => !expected.includes(name))
      .map((name) => ({ where, what: `refers to ${name}, which is not a dependency` })),
  ]
}

/** Dependencies that nothing in the shipped code imports. */
function checkUnusedDependencies(root: string, unit: WorkspacePackage, files: readonly string[]): Problem[] {
  const used = new Set(
    files
      .filter((file) => !isTest(file))
      .flatMap((file) => readSourceFile(file, readFileSync(path.join(root, file), 'utf8')).imports)
      .map(({ specifier }) => packageOf(specifier)),
  )
  return Object.keys(unit.manifest.dependencies ?? {})
    .filter((name) => !used.has(name))
    .map((name) => ({
      where: `${unit.directory}/package.json`,
      what: `depends on ${name}, which it never imports`,
    }))
}

/** The root project has every package, so that `tsc -b` builds them all. */
function checkRootReferences(root: string, packages: readonly WorkspacePackage[]): Problem[] {
  const { references = [] } = readJson(path.join(root, 'tsconfig.json')) as Tsconfig
  const listed = new Set(references.map((reference) => path.posix.normalize(reference.path)))
  return packages
    .filter((unit) => !listed.has(unit.directory))
    .map((unit) => ({ where: 'tsconfig.json', what: `has no reference to ${unit.directory}` }))
}

/**
 * The package graph, the effects at the rim and the declared dependencies, read from manifests, project
 * references and every import.
 *
 * @param root the repository's folder
 */
export function checkBoundaries(root: string): Problem[] {
  const packages = readPackages(root)
  const shared = readJson(path.join(root, 'package.json')) as Manifest
  return [
    ...checkRootReferences(root, packages),
    ...packages.flatMap((unit) => {
      const files = ['src', 'test', 'bench']
        .flatMap((folder) => listFiles(root, `${unit.directory}/${folder}`))
        .filter((file) => /\.[cm]?[jt]s$/.test(file))
      return [
        ...checkManifest(root, unit),
        ...files.flatMap((file) => checkFile(root, unit, shared, file)),
        ...checkUnusedDependencies(root, unit, files),
      ]
    }),
  ]
}

runAsProgram(import.meta.url, 'boundaries', checkBoundaries)
