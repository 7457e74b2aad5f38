import { expect, test } from 'vitest'
import path from 'node:path'
import { readFileSync } from 'node:fs'
import { checkManifest, checkReadme } from './packages.ts'
import { readJson, type Manifest } from './workspace.ts'

const root = path.resolve(import.meta.dirname, '../..')
const shared = readJson(path.join(root, 'package.json')) as Manifest
const core = readJson(path.join(root, 'packages/core/package.json')) as Manifest
const entry = {
  '@disk-image/source': './src/index.ts',
  types: './dist/index.d.ts',
  default: './dist/index.js',
}
const rest = { './package.json': './package.json' }

test('a manifest in order has no problem', () => {
  expect(checkManifest('core', core, shared)).toEqual([])
})

test.each<[over: object, what: string]>([
  [{ license: 'MIT' }, "'license' must be"],
  [{ private: true }, "'private' must be"],
  [{ name: '@disk-image/kernel' }, "'name' must be"],
  [{ engines: { node: '*' } }, "'engines' must be"],
  [{ publishConfig: {} }, "'publishConfig' must be"],
  [{ repository: {} }, "'repository' must be"],
  [{ files: ['dist', 'src'] }, "does not list '!**/*.test.ts' in files"],
  [{ sideEffects: undefined }, "does not say 'sideEffects'"],
  [{ dependencies: { '@disk-image/host': 'workspace:*' } }, "ours are 'workspace:^'"],
  [{ dependencies: { execa: 'catalog:' } }, "others' ranges literal"],
  [{ exports: { '.': './dist/index.js', ...rest } }, 'exports . must be'],
  [{ exports: { '.': { types: entry.types, default: entry.default }, ...rest } }, 'exports . must be'],
  [{ exports: { '.': { ...entry, types: './dist/other.d.ts' }, ...rest } }, 'exports . must be'],
  [{ exports: { '.': { ...rest, ...entry }, ...rest } }, 'exports . must be'],
  [{ exports: { './*': entry, ...rest } }, 'exports ./* must be'],
  [{ exports: { '.': entry } }, 'does not export ./package.json'],
  [{ exports: rest }, "has neither an entry point '.' nor a command"],
])('%j is refused', (over, what) => {
  expect(checkManifest('core', { ...core, ...over }, shared).join('\n')).toContain(what)
})

const page = readFileSync(path.join(root, 'packages/core/README.md'), 'utf8')

test('a README in order has no problem', () => {
  expect(checkReadme('@disk-image/core', page)).toEqual([])
})

test.each([
  [page.replace('## Security', '## Safety'), 'needs the sections'],
  [page.replace('## API', '## A').replace('## Licence', '## Licence\n## API'), 'needs the sections'],
  [page.split('\n').slice(0, 60).join('\n'), 'lines, not 80 to 150'],
  [`${page}\n${'more\n'.repeat(80)}`, 'lines, not 80 to 150'],
  [page.replace('# @disk-image/core', '# Core'), 'is not titled'],
  [page.replace(/^```ts$/m, '```ts\n' + 'line\n'.repeat(13)), 'has no example'],
  ['', 'is not titled'],
])('a README in disorder is refused (%#)', (text, what) => {
  expect(checkReadme('@disk-image/core', text).join('\n')).toContain(what)
})
