/** What every package has before anybody installs it; whether the archive is sound, publint and attw say. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { runAsProgram, type Problem } from './workspace.ts'
import { readJson, readPackages, type Manifest } from './workspace.ts'

/** The fields that every manifest has, with this content. */
function expectedFields(folder: string, shared: Manifest): Readonly<Record<string, unknown>> {
  return {
    name: `@disk-image/${folder}`,
    private: undefined,
    license: 'Apache-2.0',
    type: 'module',
    repository: {
      type: 'git',
      url: 'git+https://github.com/disk-image/disk-image.git',
      directory: `packages/${folder}`,
    },
    publishConfig: { access: 'public', provenance: true },
    engines: shared.engines,
  }
}

/** Problems of one entry point: the three conditions, in the order in which they are tried. */
function checkEntry(subpath: string, entry: string | Readonly<Record<string, string>>): string[] {
  if (subpath === './package.json' && entry === subpath) return []
  const target = typeof entry === 'string' ? '' : (entry['default'] ?? '')
  const expected = {
    '@disk-image/source': target.replace(/^\.\/dist\//, './src/').replace(/\.js$/, '.ts'),
    types: target.replace(/\.js$/, '.d.ts'),
    default: target,
  }
  const holds = /^\.\/dist\/.+\.js$/.test(target) && !subpath.includes('*') && same(entry, expected)
  return holds ? [] : [`exports ${subpath} must be a file of dist, with its source and its types before it`]
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** Problems of a manifest. @param shared the workspace's */
export function checkManifest(folder: string, manifest: Manifest, shared: Manifest): string[] {
  const { files = [], exports = {}, bin, dependencies = {} } = manifest
  const problems = Object.entries(expectedFields(folder, shared))
    .filter(([field, content]) => !same(manifest[field as keyof Manifest], content))
    .map(([field, content]) => `'${field}' must be ${JSON.stringify(content)}`)
  const demand = (holds: boolean, what: string): void => {
    if (!holds) problems.push(what)
  }
  demand((manifest.description ?? '') !== '', 'has no description')
  demand(manifest.sideEffects !== undefined, "does not say 'sideEffects'")
  demand('./package.json' in exports, 'does not export ./package.json')
  demand('.' in exports || bin !== undefined, "has neither an entry point '.' nor a command")
  for (const entry of ['dist', 'src', '!**/*.test.ts']) {
    demand(files.includes(entry), `does not list '${entry}' in files`)
  }
  for (const [name, range] of Object.entries(dependencies)) {
    const literal = name.startsWith('@disk-image/') ? range === 'workspace:^' : !range.startsWith('catalog:')
    demand(literal, `asks for ${name} as '${range}'; ours are 'workspace:^', others' ranges literal`)
  }
  return [...problems, ...Object.entries(exports).flatMap(([subpath, entry]) => checkEntry(subpath, entry))]
}

/** The sections of a README, in their order; there may be further ones. */
const sections =
  'When to use it,Install,Use,API|Commands,Security,Compatibility,Related packages,Licence'.split(',')

/** Problems of a README: 80 to 150 lines, its sections in their order, an example that one takes in at a glance. */
export function checkReadme(name: string, text: string): string[] {
  const problems: string[] = []
  const prose = text.replaceAll(/^(```+)[^\n]*\n[\s\S]*?^\1$/gm, '')
  const order = new RegExp(sections.map((section) => `^## (?:${section})`).join('[\\s\\S]*'), 'm')
  if (!order.test(prose)) problems.push(`needs the sections ${sections.join(', ')}, in this order`)
  if (!text.startsWith(`# `) || !text.split('\n', 1)[0]?.includes(name))
    problems.push(`is not titled ${name}`)
  const lines = text.trimEnd().split('\n').length
  if (lines < 80 || lines > 150) problems.push(`has ${lines} lines, not 80 to 150`)
  const [, example] = /^## Use$[\s\S]*?^```\w+\n([\s\S]*?)^```$/m.exec(text) ?? []
  if (example === undefined || example.split('\n').length > 13) {
    problems.push("has no example of at most 12 lines under '## Use'")
  }
  return problems
}

function checkPackages(root: string): Problem[] {
  const shared = readJson(path.join(root, 'package.json')) as Manifest
  const read = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '')
  const licence = read(path.join(root, 'LICENSE'))
  return readPackages(root).flatMap(({ folder, directory, manifest }) => {
    const file = (name: string): string => path.join(root, directory, name)
    const missing = Object.values(manifest.exports ?? {})
      .map((entry) => (typeof entry === 'string' ? entry : (entry['@disk-image/source'] ?? '')))
      .concat(Object.values(manifest.bin ?? {}))
      .filter((target) => !existsSync(file(target)))
    const problems: [name: string, what: string[]][] = [
      ['package.json', checkManifest(folder, manifest, shared)],
      ['package.json', missing.map((target) => `offers ${target}, which is missing`)],
      ['README.md', checkReadme(manifest.name, read(file('README.md')))],
      ['LICENSE', read(file('LICENSE')) === licence ? [] : ['is not the LICENSE of the repository']],
    ]
    return problems.flatMap(([name, what]) =>
      what.map((one) => ({ where: `${directory}/${name}`, what: one })),
    )
  })
}

runAsProgram(import.meta.url, 'packages', checkPackages)
