import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { checkReadme } from './readme.ts'
import { runAsProgram, type Problem } from './report.ts'
import { readJson, readPackages, type Manifest, type WorkspacePackage } from './workspace.ts'

const licence = 'Apache-2.0'

/** The source file that an entry point is built from: `./dist/a/index.js` is of `./src/a/index.ts`. */
function sourceOf(target: string): string {
  return target.replace(/^\.\/dist\//, './src/').replace(/\.js$/, '.ts')
}

/** Problems of one entry point: the three conditions, in the order in which they are tried. */
function checkEntry(
  root: string,
  unit: WorkspacePackage,
  subpath: string,
  entry: string | Readonly<Record<string, string>>,
): string[] {
  if (subpath === './package.json')
    return entry === './package.json' ? [] : ['exports ./package.json as something else']
  if (subpath.includes('*')) return [`exports ${subpath}: list subpaths one by one`]
  if (typeof entry === 'string') return [`exports ${subpath} without conditions`]
  const target = entry['default'] ?? ''
  const source = sourceOf(target)
  const expected = { '@disk-image/source': source, types: target.replace(/\.js$/, '.d.ts'), default: target }
  if (!/^\.\/dist\/.+\.js$/.test(target)) return [`exports ${subpath}: 'default' must be a file ./dist/….js`]
  const problems: string[] = []
  if (JSON.stringify(entry) !== JSON.stringify(expected)) {
    problems.push(`exports ${subpath} must be exactly ${JSON.stringify(expected)}`)
  }
  if (!existsSync(path.join(root, unit.directory, source)))
    problems.push(`exports ${subpath}, but ${source} is missing`)
  return problems
}

/** Problems of what `exports` and `bin` offer. */
function checkEntries(root: string, unit: WorkspacePackage): string[] {
  const { exports = {}, bin } = unit.manifest
  const problems = Object.entries(exports).flatMap(([subpath, entry]) =>
    checkEntry(root, unit, subpath, entry),
  )
  if (!('./package.json' in exports)) problems.push('does not export ./package.json')
  if (!('.' in exports) && bin === undefined) problems.push("has neither an entry point '.' nor a command")
  for (const [name, file] of Object.entries(bin ?? {})) {
    if (!existsSync(path.join(root, unit.directory, file)))
      problems.push(`offers the command ${name}, but ${file} is missing`)
  }
  return problems
}

/** Problems of the fields that every published manifest has. */
function checkFields(unit: WorkspacePackage, shared: Manifest): string[] {
  const { manifest } = unit
  const problems: string[] = []
  const demand = (holds: boolean, what: string): void => {
    if (!holds) problems.push(what)
  }
  demand(
    manifest.name === `@disk-image/${unit.folder}`,
    `is named ${manifest.name}, not @disk-image/${unit.folder}`,
  )
  demand(manifest.private !== true, 'is private')
  demand((manifest.description ?? '').length > 0, 'has no description')
  demand(manifest.license === licence, `has the licence ${manifest.license}, not ${licence}`)
  demand(manifest.type === 'module', "is not of type 'module'")
  demand(manifest.sideEffects !== undefined, "does not say 'sideEffects'")
  demand(manifest.repository?.directory === unit.directory, `has the wrong repository.directory`)
  demand(manifest.engines?.['node'] === shared.engines?.['node'], 'has other engines than the workspace')
  demand(manifest.publishConfig?.['access'] === 'public', "needs publishConfig.access 'public'")
  demand(manifest.publishConfig?.['provenance'] === true, 'needs publishConfig.provenance true')
  const { files = [] } = manifest
  for (const entry of ['dist', 'src', '!**/*.test.ts']) {
    demand(files.includes(entry), `does not list '${entry}' in files`)
  }
  for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
    const own = name.startsWith('@disk-image/')
    demand(!own || range === 'workspace:^', `asks for ${name} as '${range}'; write 'workspace:^'`)
    demand(
      !range.startsWith('catalog:'),
      `takes ${name} from the catalog; a runtime dependency needs a literal range`,
    )
  }
  return problems
}

/** The licence's text lies in every package, and is the one of the repository. */
function checkLicence(root: string, unit: WorkspacePackage): Problem[] {
  const where = `${unit.directory}/LICENSE`
  if (!existsSync(path.join(root, where))) return [{ where, what: 'is missing' }]
  const [own, shared] = [where, 'LICENSE'].map((file) => readFileSync(path.join(root, file), 'utf8'))
  return own === shared ? [] : [{ where, what: 'differs from the LICENSE of the repository' }]
}

function checkPackage(root: string, unit: WorkspacePackage, shared: Manifest): Problem[] {
  const where = `${unit.directory}/package.json`
  return [
    ...[...checkFields(unit, shared), ...checkEntries(root, unit)].map((what) => ({ where, what })),
    ...checkLicence(root, unit),
    ...checkReadme(root, unit),
  ]
}

/**
 * What every package must have before anybody installs it: manifest fields, entry points, licence, README.
 *
 * @param root the repository's folder
 */
export function checkPackages(root: string): Problem[] {
  const shared = readJson(path.join(root, 'package.json')) as Manifest
  return readPackages(root).flatMap((unit) => checkPackage(root, unit, shared))
}

runAsProgram(import.meta.url, 'packages', checkPackages)
