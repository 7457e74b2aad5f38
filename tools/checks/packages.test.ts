import { describe, expect, test } from 'vitest'
import { checkPackages } from './packages.ts'
import { manifest, readme, soundTree, writeTree, type Tree } from './tree.testing.ts'

/** What the check says about the sound tree after some files were changed. */
function problemsAfter(changes: Tree): string[] {
  using tree = writeTree({ ...soundTree, ...changes })
  return checkPackages(tree.root).map(({ where, what }) => `${where}: ${what}`)
}

const core = (over: object): Tree => ({ 'packages/core/package.json': manifest('core', over) })
const coreReadme = (text: string | undefined): Tree => ({ 'packages/core/README.md': text })

test('a tree in order has no problem', () => {
  expect(problemsAfter({})).toEqual([])
})

describe('manifest', () => {
  test.each([
    [{ license: 'MIT' }, 'has the licence MIT, not Apache-2.0'],
    [{ private: true }, 'is private'],
    [{ name: '@disk-image/kernel' }, 'is named @disk-image/kernel'],
    [{ type: 'commonjs' }, "is not of type 'module'"],
    [{ engines: { node: '*' } }, 'has other engines than the workspace'],
    [{ publishConfig: {} }, "needs publishConfig.access 'public'"],
    [{ files: ['dist', 'src'] }, "does not list '!**/*.test.ts' in files"],
    [{ sideEffects: undefined }, "does not say 'sideEffects'"],
    [{ repository: {} }, 'has the wrong repository.directory'],
    [{ dependencies: { '@disk-image/host': 'workspace:*' } }, "write 'workspace:^'"],
    [{ dependencies: { execa: 'catalog:' } }, 'takes execa from the catalog'],
  ])('%j is refused', (over, what) => {
    expect(problemsAfter(core(over)).join('\n')).toContain(what)
  })
})

describe('entry points', () => {
  const entry = {
    '@disk-image/source': './src/index.ts',
    types: './dist/index.d.ts',
    default: './dist/index.js',
  }
  const rest = { './package.json': './package.json' }

  test.each([
    [{ '.': './dist/index.js', ...rest }, 'exports . without conditions'],
    [{ '.': { types: entry.types, default: entry.default }, ...rest }, 'exports . must be exactly'],
    [{ '.': { ...entry, types: './dist/other.d.ts' }, ...rest }, 'exports . must be exactly'],
    [{ '.': entry, './*': entry, ...rest }, 'exports ./*: list subpaths one by one'],
    [{ '.': { ...entry, default: './src/index.ts' }, ...rest }, "'default' must be a file"],
    [{ '.': entry }, 'does not export ./package.json'],
    [rest, "has neither an entry point '.' nor a command"],
  ])('%j is refused', (exports, what) => {
    expect(problemsAfter(core({ exports })).join('\n')).toContain(what)
  })

  test('the order of the conditions matters', () => {
    const exports = {
      '.': { default: entry.default, types: entry.types, '@disk-image/source': './src/index.ts' },
      ...rest,
    }
    expect(problemsAfter(core({ exports })).join('\n')).toContain('exports . must be exactly')
  })

  test('the sources and commands behind them exist', () => {
    expect(problemsAfter({ 'packages/core/src/index.ts': undefined })).toEqual([
      'packages/core/package.json: exports ., but ./src/index.ts is missing',
    ])
    expect(problemsAfter(core({ bin: { tool: './bin/tool.js' } }))).toEqual([
      'packages/core/package.json: offers the command tool, but ./bin/tool.js is missing',
    ])
  })
})

describe('licence and README', () => {
  test('the licence is there, and is the same', () => {
    expect(problemsAfter({ 'packages/core/LICENSE': undefined })).toEqual([
      'packages/core/LICENSE: is missing',
    ])
    expect(problemsAfter({ 'packages/core/LICENSE': 'another\n' })).toHaveLength(1)
  })

  test('the README is there', () => {
    expect(problemsAfter(coreReadme(undefined))).toEqual(['packages/core/README.md: is missing'])
  })

  const page = readme('core')
  test.each([
    [page.replace('## Security\n', ''), "has no section '## Security'"],
    [page.replace('## API\n', '').replace('## Licence', '## Licence\n## API'), 'in the wrong place'],
    [page.replaceAll(/Line \d+\.\n/g, ''), 'lines, not 80 to 150'],
    [`${page}\n${'more\n'.repeat(80)}`, 'lines, not 80 to 150'],
    [page.replace('# @disk-image/core', '# Core'), 'does not begin with the title'],
    [page.replace('# no heading\n', 'line\n'.repeat(13)), 'begins with an example of 14 lines'],
    [page.replaceAll('```', ''), "has no example under '## Use'"],
  ])('a README in disorder is refused (%#)', (text, what) => {
    expect(problemsAfter(coreReadme(text)).join('\n')).toContain(what)
  })
})
