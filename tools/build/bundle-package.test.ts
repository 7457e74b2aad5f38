import { mkdtempSync, readFileSync, rmSync, writeFileSync, mkdirSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { bundle, entriesOf } from './bundle-package.ts'

const conditions = (name: string): Record<string, string> => ({
  '@disk-image/source': `./src/${name}.ts`,
  types: `./dist/${name}.d.ts`,
  default: `./dist/${name}.js`,
})

const manifest = {
  name: 'sample',
  imports: { '#worker': { '@disk-image/source': './src/deep/worker.ts', default: './dist/deep/worker.js' } },
  exports: {
    '.': conditions('index'),
    './deep': conditions('deep/index'),
    './package.json': './package.json',
  },
}

test('entry points and workers are built, under the names that the manifest gives them', () => {
  expect(entriesOf(manifest)).toEqual({
    index: './src/index.ts',
    'deep/index': './src/deep/index.ts',
    'deep/worker': './src/deep/worker.ts',
  })
  expect(entriesOf({ name: 'command', exports: { './package.json': './package.json' } })).toEqual({
    main: './src/main.ts',
  })
})

test('other packages stay outside, newer syntax is lowered without another package, old files go', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'bundle-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const write = (file: string, text: string): void => {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
    writeFileSync(path.join(folder, file), text)
  }
  write('src/shared.ts', 'export const shared: number = 1\n')
  write(
    'src/index.ts',
    `import { other } from 'other'
import { shared } from './shared.ts'
export function run(): number {
  using held = other()
  return shared + held.value
}
`,
  )
  write('src/deep/index.ts', `export { shared } from '../shared.ts'\n`)
  write('src/deep/worker.ts', `import { shared } from '../shared.ts'\nconsole.log(shared)\n`)
  write('dist/gone.js', '')
  write('dist/index.d.ts', '')
  await bundle(folder, manifest)
  const built = readdirSync(path.join(folder, 'dist'), { recursive: true, encoding: 'utf8' })
  expect(built).toEqual(expect.arrayContaining(['index.js', 'index.js.map', 'index.d.ts', 'deep/worker.js']))
  expect(built).not.toContain('gone.js')
  const code = readFileSync(path.join(folder, 'dist/index.js'), 'utf8')
  expect(code).toMatch(/from "other"/)
  expect(code).not.toMatch(/\busing held\b|from "@oxc-project/)
})
