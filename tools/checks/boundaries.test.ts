import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { expect, test } from 'vitest'
import { findState } from './state.ts'
import { writeTree } from './tree.testing.ts'

const root = path.resolve(import.meta.dirname, '../..')

/** Rules that each file breaks. */
function violations(files: Readonly<Record<string, string>>): Record<string, string[]> {
  using tree = writeTree({ 'package.json': { name: 'workspace' }, ...files })
  const program = path.join(root, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs')
  const config = path.join(root, '.dependency-cruiser.js')
  const words = [program, '--config', config, '--output-type', 'json', 'packages']
  const { stdout } = spawnSync(process.execPath, words, { cwd: tree.root, encoding: 'utf8' })
  const { summary } = JSON.parse(stdout) as {
    summary: { violations: { from: string; rule: { name: string } }[] }
  }
  const found = Object.keys(files).map((file): [string, string[]] => [
    file,
    summary.violations
      .filter(({ from, rule }) => (from === file || from === path.dirname(file)) && rule.name !== 'resolves')
      .map(({ rule }) => rule.name),
  ])
  return Object.fromEntries(found.filter(([, rules]) => rules.length > 0))
}

test('what a package may not import is told, however it is written', () => {
  expect(
    violations({
      'packages/core/src/index.ts': 'export const one = 1',
      'packages/core/src/path.ts': "import { join } from 'node:path'\nexport { join }",
      'packages/core/test/helpers/make.ts': "import 'node:fs'",
      'packages/disk/src/index.ts': 'export const disk = 1',
      'packages/disk/src/layouts.ts': "export { read } from './header.ts'",
      'packages/disk/src/header.ts': "import { open } from 'node:fs'\nexport const read = open",
      'packages/format-policy/src/a.ts': "import '../../disk/src/index.ts'",
      'packages/format-policy/src/b.ts': "import { read } from '../../disk/src/layouts.ts'\nexport { read }",
      'packages/host/src/good.ts':
        "import { spawn } from 'node:child_process'\nexport * from 'execa'\nexport { spawn }",
      'packages/host/src/sibling.ts':
        "import type { disk } from '../../disk/src/index.ts'\nexport type D = typeof disk",
      'packages/host/src/net.ts': "const { connect } = await import('node:net')\nexport { connect }",
      'packages/host/src/helper.ts': "import '../../core/test/helpers/make.ts'",
      'packages/host/test/good.test.ts': "import '../../core/test/helpers/make.ts'\nimport 'undici'",
      'packages/host/test/bad.test.ts': "import '../../disk/src/index.ts'",
      'packages/vhd/src/a.ts': "export const { fork } = process.getBuiltinModule('child_process')",
      'packages/vhd/src/b.ts': "import { request } from 'undici'\nexport { request }",
      'packages/vhd/src/c.ts': "export type W = import('node:worker_threads').Worker",
      'packages/vhd/src/d.ts': "import { env } from 'node:process'\nexport { env }",
      'packages/extra/src/a.ts': "import '../../core/src/index.ts'",
      'packages/glance-client/src/index.ts': 'export const client = 1',
      'packages/image-utils/src/services.ts': "export * from '../../glance-client/src/index.ts'",
      'packages/image-utils/src/directory/store.ts': "import '../services.ts'",
      'packages/io/src/a/one.ts': "import '../b/two.ts'",
      'packages/io/src/b/two.ts': "import '../a/three.ts'",
      'packages/io/src/a/three.ts': 'export const three = 3',
      'packages/io/src/four.ts': "import type { Five } from './five.ts'\nexport type Four = Five",
      'packages/io/src/five.ts': "import { type Four } from './four.ts'\nexport type Five = Four",
    }),
  ).toEqual({
    'packages/core/src/path.ts': ['runs-anywhere'],
    'packages/disk/src/layouts.ts': ['runs-anywhere'],
    'packages/format-policy/src/a.ts': ['graph-format-policy'],
    'packages/format-policy/src/b.ts': ['runs-anywhere'],
    'packages/host/src/sibling.ts': ['graph-host'],
    'packages/host/src/net.ts': ['only-network'],
    'packages/host/src/helper.ts': ['graph-host'],
    'packages/host/test/bad.test.ts': ['graph-host-tests'],
    'packages/vhd/src/a.ts': ['only-processes'],
    'packages/vhd/src/b.ts': ['only-network'],
    'packages/vhd/src/c.ts': ['only-threads'],
    'packages/vhd/src/d.ts': ['only-environment'],
    'packages/extra/src/a.ts': ['graph-unknown-package'],
    'packages/image-utils/src/directory/store.ts': ['folder-without-openstack'],
    'packages/io/src/a/one.ts': ['no-circle-of-folders'],
    'packages/io/src/a/three.ts': ['no-circle-of-folders'],
    'packages/io/src/b/two.ts': ['no-circle-of-folders'],
    'packages/io/src/five.ts': ['no-circle-of-files'],
  })
})

test.each([
  'let cache = 1',
  'export let cache = 1',
  'var cache = 1',
  'const cache = new Set<object>()',
  'export const cache = new WeakMap<object, string>()',
  'const cache: string[] = []',
])('%s is state', (text) => {
  expect(findState('a.ts', text)).toEqual(['cache'])
})

test.each(["const names = new Set(['a', 'b'])", 'function f() { let a = 1 }', 'export const one = 1'])(
  '%s is none',
  (text) => {
    expect(findState('a.ts', text)).toEqual([])
  },
)
