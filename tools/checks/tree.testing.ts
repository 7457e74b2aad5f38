import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

/** Files of a repository by their path; an object is written as JSON, `undefined` leaves a file out. */
export type Tree = Readonly<Record<string, string | object | undefined>>

const engines = { node: '>=22' }

/** A manifest that no check objects to. */
export function manifest(folder: string, over: object = {}): object {
  return {
    name: `@disk-image/${folder}`,
    version: '1.0.0',
    description: 'A package',
    license: 'Apache-2.0',
    type: 'module',
    sideEffects: false,
    repository: { type: 'git', directory: `packages/${folder}` },
    files: ['dist', 'src', '!**/*.test.ts'],
    exports: {
      '.': {
        '@disk-image/source': './src/index.ts',
        types: './dist/index.d.ts',
        default: './dist/index.js',
      },
      './package.json': './package.json',
    },
    publishConfig: { access: 'public', provenance: true },
    engines,
    ...over,
  }
}

const filler = Array.from({ length: 70 }, (_, index) => `Line ${index}.`)

/** A README that no check objects to. */
export function readme(folder: string): string {
  return [
    `# @disk-image/${folder}`,
    '## When to use it',
    ...filler,
    '## Install',
    '## Use',
    '```ts',
    "import { name } from '@disk-image/core'",
    '# no heading',
    '```',
    '## API',
    '## Security',
    '## Compatibility',
    '## Related packages',
    '## Licence',
    '',
  ].join('\n')
}

/** Two packages in order: `host` stands on `core` and starts processes. */
export const soundTree: Tree = {
  'package.json': { name: 'workspace', private: true, engines, devDependencies: { vitest: '^5' } },
  'tsconfig.json': { references: [{ path: 'packages/core' }, { path: 'packages/host' }] },
  LICENSE: 'the licence\n',
  'packages/core/package.json': manifest('core'),
  'packages/core/tsconfig.json': {},
  'packages/core/LICENSE': 'the licence\n',
  'packages/core/README.md': readme('core'),
  'packages/core/src/index.ts': "export { name } from './name.ts'\n",
  'packages/core/src/name.ts': "export const name = 'core'\n",
  'packages/core/src/name.test.ts': "import { test } from 'vitest'\nimport 'node:fs'\ntest('x', () => {})\n",
  'packages/host/package.json': manifest('host', {
    dependencies: { '@disk-image/core': 'workspace:^', execa: '^10.0.0' },
  }),
  'packages/host/tsconfig.json': { references: [{ path: '../core' }] },
  'packages/host/LICENSE': 'the licence\n',
  'packages/host/README.md': readme('host'),
  'packages/host/src/index.ts': [
    "import { spawn } from 'node:child_process'",
    "import { execa } from 'execa'",
    "import { name } from '@disk-image/core'",
    'export const all = [spawn, execa, name]',
  ].join('\n'),
}

/** Writes a tree into a temporary folder that goes away with the handle. */
export function writeTree(tree: Tree): { readonly root: string } & Disposable {
  const root = mkdtempSync(path.join(os.tmpdir(), 'disk-image-checks-'))
  for (const [file, content] of Object.entries(tree)) {
    if (content === undefined) continue
    mkdirSync(path.join(root, path.dirname(file)), { recursive: true })
    writeFileSync(path.join(root, file), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return { root, [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) }
}
