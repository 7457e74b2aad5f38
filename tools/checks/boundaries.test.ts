import { describe, expect, test } from 'vitest'
import { checkBoundaries } from './boundaries.ts'
import { manifest, soundTree, writeTree, type Tree } from './tree.testing.ts'

/** What the check says about the sound tree after some files were changed. */
function problemsAfter(changes: Tree): string[] {
  using tree = writeTree({ ...soundTree, ...changes })
  return checkBoundaries(tree.root).map(({ where, what }) => `${where}: ${what}`)
}

const host = (over: object): Tree => ({ 'packages/host/package.json': manifest('host', over) })
const coreSource = (text: string): Tree => ({ 'packages/core/src/name.ts': text })
const hostSource = (text: string): Tree => ({ 'packages/host/src/more.ts': text })

test('a tree in order has no problem', () => {
  expect(problemsAfter({})).toEqual([])
})

describe('the graph', () => {
  test('core may know nobody', () => {
    const problems = problemsAfter({
      'packages/core/package.json': manifest('core', { dependencies: { '@disk-image/host': 'workspace:^' } }),
      ...coreSource("export { all } from '@disk-image/host'"),
    })
    expect(problems).toContain(
      'packages/core/package.json: depends on @disk-image/host; core may know only nobody',
    )
  })

  test('a sibling may not be a sibling of the tests either', () => {
    const devDependencies = { '@disk-image/vhd': 'workspace:*' }
    const dependencies = { '@disk-image/core': 'workspace:^', execa: '^10.0.0' }
    expect(problemsAfter(host({ dependencies, devDependencies }))).toEqual([
      'packages/host/package.json: tests with @disk-image/vhd; host may know only core',
    ])
  })

  test('a package that nobody put into the graph is told', () => {
    const problems = problemsAfter({ 'packages/extra/package.json': manifest('extra') })
    expect(problems).toContain(
      'packages/extra/package.json: extra is not in the graph of tools/checks/rules.ts',
    )
    expect(problems).toContain('tsconfig.json: has no reference to packages/extra')
  })

  test('project references are the dependencies', () => {
    expect(problemsAfter({ 'packages/host/tsconfig.json': { references: [{ path: '../vhd' }] } })).toEqual([
      'packages/host/tsconfig.json: has no reference to packages/core',
      'packages/host/tsconfig.json: refers to packages/vhd, which is not a dependency',
    ])
  })

  test('ranges of workspace packages are workspace:^, those of others literal', () => {
    const dependencies = { '@disk-image/core': 'workspace:*', execa: 'catalog:' }
    expect(problemsAfter(host({ dependencies }))).toEqual([
      "packages/host/package.json: asks for @disk-image/core as 'workspace:*'; write 'workspace:^'",
      'packages/host/package.json: takes execa from the catalog; a runtime dependency needs a literal range',
    ])
  })

  test('a relative import may not leave the sources', () => {
    expect(problemsAfter(coreSource("export { all } from '../../host/src/index.ts'"))).toEqual([
      "packages/core/src/name.ts: imports '../../host/src/index.ts', which is outside packages/core/src/",
    ])
  })

  test('a test may use the test helpers of what its package depends on, and nobody else’s', () => {
    const using = (name: string): Tree => ({
      'packages/host/test/unit/x.test.ts': `import '../../../${name}/test/helpers/make.ts'`,
    })
    expect(problemsAfter(using('core'))).toEqual([])
    expect(problemsAfter(using('vhd'))).toEqual([
      "packages/host/test/unit/x.test.ts: imports '../../../vhd/test/helpers/make.ts', which is outside packages/host/",
    ])
  })
})

describe('dependencies', () => {
  test('what is imported is declared', () => {
    expect(problemsAfter(hostSource("import 'undeclared/sub'"))).toEqual([
      "packages/host/src/more.ts: imports 'undeclared/sub', which @disk-image/host does not declare in its dependencies",
    ])
  })

  test('a dependency of the tests does not count for the sources', () => {
    const problems = problemsAfter(hostSource("import { test } from 'vitest'\nexport { test }"))
    expect(problems).toHaveLength(1)
  })

  test('what a test imports is declared somewhere', () => {
    expect(problemsAfter({ 'packages/host/test/a.test.ts': "import 'undeclared'" })).toEqual([
      "packages/host/test/a.test.ts: imports 'undeclared', which is in no dependencies of @disk-image/host or the workspace",
    ])
  })

  test('what is declared is imported', () => {
    const dependencies = { '@disk-image/core': 'workspace:^', execa: '^10.0.0', left: '^1.0.0' }
    expect(problemsAfter(host({ dependencies }))).toEqual([
      'packages/host/package.json: depends on left, which it never imports',
    ])
  })
})

describe('effects at the rim', () => {
  test.each([
    ["import { spawn } from 'node:child_process'", 'only host starts processes'],
    ["import { spawn } from 'child_process'", 'only host starts processes'],
    ["export * from 'execa'", 'only host starts processes'],
    ["const { fork } = await import('node:child_process')", 'only host starts processes'],
    ["const { fork } = process.getBuiltinModule('child_process')", 'only host starts processes'],
    ["import { request } from 'undici'", 'only glance-client talks to the network'],
    ["import { connect } from 'node:net'", 'only glance-client talks to the network'],
    ["import { Unpack } from 'tar'", 'only vhd reads archives'],
    ["import { Worker } from 'node:worker_threads'", 'worker threads are for hashing'],
    ["import type { Worker } from 'node:worker_threads'", 'worker threads are for hashing'],
    ["export type W = import('node:worker_threads').Worker", 'worker threads are for hashing'],
  ])('%s is refused outside its package', (text, reason) => {
    expect(problemsAfter(coreSource(text)).join('\n')).toContain(reason)
  })

  test('worker threads are allowed where they hash or decode', () => {
    const problems = problemsAfter({
      'packages/disk/package.json': manifest('disk'),
      'packages/disk/src/qcow2/pool.ts': "import { Worker } from 'node:worker_threads'",
      'packages/disk/src/other.ts': "import { Worker } from 'node:worker_threads'",
    })
    expect(problems.filter((problem) => problem.includes('worker'))).toEqual([
      "packages/disk/src/other.ts: imports 'node:worker_threads': worker threads are for hashing and for decoding qcow2",
    ])
  })

  test('core runs where Node.js is not', () => {
    expect(problemsAfter(coreSource("import { join } from 'node:path'\nexport { join }"))).toEqual([
      "packages/core/src/name.ts: imports 'node:path', but core runs where Node.js is not",
    ])
  })
})

describe('what hides from the check', () => {
  test.each([
    ['await import(process.argv[2])', 'computes what it imports'],
    ["import { createRequire } from 'node:module'\ncreateRequire(import.meta.url)", 'makes a require()'],
    ['const a = (', 'does not parse'],
  ])('%s is refused', (text, reason) => {
    expect(problemsAfter(hostSource(text)).join('\n')).toContain(reason)
  })
})

describe('no globals', () => {
  test.each([
    'let cache = 1',
    'export let cache = 1',
    'var cache = 1',
    'const cache = new Set<object>()',
    'export const cache = new WeakMap<object, string>()',
    'const cache: string[] = []',
  ])('%s is refused', (text) => {
    expect(problemsAfter(coreSource(text))).toEqual([
      'packages/core/src/name.ts: keeps state in the module: cache; keep it in an instance',
    ])
  })

  test('a table, and what a decision record names, are no state', () => {
    expect(
      problemsAfter({
        ...coreSource("export const names = new Set(['a', 'b'])"),
        'packages/io/src/memory/page-memory.ts': 'export const aligned = new WeakSet<object>()',
      }),
    ).toEqual([])
  })

  test.each([
    'export const home = process.env.HOME',
    "export const home = process['env']",
    'const { env } = process',
    "import { env } from 'node:process'",
  ])('%s is refused in a library', (text) => {
    expect(problemsAfter(hostSource(text)).join('\n')).toContain('reads process.env')
  })
})
