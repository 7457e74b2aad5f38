import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { manifest } from '../tree.testing.ts'
import { compareRecords } from './changes.ts'
import { readLevels } from './changeset-levels.ts'
import { checkLevels } from './levels.ts'
import { checkApi } from './main.ts'
import { recordTypes } from './record.ts'
import { readPackages } from '../workspace.ts'

let root: string

function write(files: Readonly<Record<string, string | object>>): void {
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
    writeFileSync(path.join(root, file), typeof content === 'string' ? content : JSON.stringify(content))
  }
}

function commit(): void {
  const git = (...words: string[]): void => {
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...words], { cwd: root })
  }
  git('init', '--quiet')
  git('add', '--all')
  git('commit', '--quiet', '--message', 'one')
}

const shape = `/** A shape. */
export interface Shape {
    /** Its name. */
    readonly name: string;
    readonly colour?: string;
}
`
const index = `export type { Shape } from './shape.ts';
export declare function draw(shape: Shape): void;
import type { Shape } from './shape.ts';
import type { ByteSink } from '@disk-image/elsewhere';
interface Canvas { sink: ByteSink }
export declare const canvas: Canvas;
`

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'disk-image-api-'))
  write({
    'packages/core/package.json': manifest('core'),
    'packages/core/dist/index.d.ts': index,
    'packages/core/dist/shape.d.ts': shape,
  })
})

afterEach(() => rmSync(root, { recursive: true, force: true }))

function record(): string {
  return recordTypes(root, readPackages(root)[0]!)
}

test('a record has the names of each entry point and what they mention, without comments', () => {
  expect(record()).toBe(`[.]
Shape: interface
canvas: const
draw: function

[declarations]

interface Canvas { sink: ByteSink }

interface Shape {
  readonly name: string;
  readonly colour?: string;
}

const canvas: Canvas;

function draw(shape: Shape): void;
`)
})

test('a comment and the order make no difference, an unseen declaration none', () => {
  const before = record()
  write({
    'packages/core/dist/shape.d.ts': `declare const hidden: 1;\n${shape.replace('A shape', 'Any shape')}`,
  })
  expect(record()).toBe(before)
})

test('what hides its exports is not recorded', () => {
  write({ 'packages/core/dist/index.d.ts': "export * from './shape.ts';\n" })
  expect(record).toThrow('hides what is exported')
})

test('a removed export, a removed member and a member that became required break users', () => {
  const before = record()
  write({
    'packages/core/dist/index.d.ts': index.replace('export declare const canvas', 'declare const canvas'),
    'packages/core/dist/shape.d.ts': shape.replace(/ {4}readonly name.*\n/, '').replace('colour?', 'colour'),
  })
  expect(compareRecords(before, record())).toEqual({
    breaking: ['canvas: const is gone from .', 'Shape.name is gone', 'Shape.colour is no longer optional'],
    changed: true,
  })
})

test('a further export or member breaks nobody', () => {
  const before = record()
  write({
    'packages/core/dist/shape.d.ts': shape.replace(
      'readonly colour',
      'readonly size?: 1;\n    readonly colour',
    ),
  })
  expect(compareRecords(before, record())).toEqual({ breaking: [], changed: true })
})

test('changesets are read as changesets writes them; the highest level counts', () => {
  write({
    '.changeset/README.md': '# Changesets',
    '.changeset/one.md': '---\n\'@disk-image/core\': patch\n"@disk-image/host": minor\n---\n\nText.\n',
    '.changeset/two.md': "---\n'@disk-image/core': major\n---\n\nText\n",
  })
  expect(Object.fromEntries(readLevels(root))).toEqual({
    '@disk-image/core': 'major',
    '@disk-image/host': 'minor',
  })
})

const title = '@disk-image/core: what others can use. Written by pnpm api:accept.\n\n'

test('a difference from the record is shown, with the way to accept it', async () => {
  write({ 'packages/core/api.txt': title + record().replace('draw: function', 'paint: function') })
  commit()
  const [problem] = await checkApi(root)
  expect(problem?.where).toBe('packages/core/api.txt')
  expect(problem?.what).toContain('pnpm api:accept')
  expect(problem?.what).toContain('- paint: function\n+ draw: function')
})

test.each([
  ['1.2.3', 'minor', 'level major'],
  ['1.2.3', 'major', undefined],
  ['0.4.0', 'patch', 'level minor'],
  ['0.4.0', 'minor', undefined],
  ['0.0.0', undefined, undefined],
])('a removal after %s with a changeset of %s', async (version, level, objection) => {
  write({
    'packages/core/package.json': manifest('core', { version }),
    'packages/core/api.txt': title + record(),
  })
  commit()
  write({
    'packages/core/dist/index.d.ts': index.replace('export declare const canvas', 'declare const canvas'),
  })
  write({ 'packages/core/api.txt': title + record() })
  if (level !== undefined) write({ '.changeset/one.md': `---\n'@disk-image/core': ${level}\n---\n\nText.\n` })
  const problems = await checkApi(root)
  expect(problems.map(({ what }) => /level \w+/.exec(what)?.[0])).toEqual(
    objection === undefined ? [] : [objection],
  )
  expect(problems.every(({ what }) => what.includes('canvas: const is gone from .'))).toBe(true)
})

test('who shows a broken name of another package breaks with it, who does not is only released anew', () => {
  const dependencies = ['@disk-image/core']
  const facade = '[.]\nmake: function\n\n[declarations]\n\nfunction make(shape: Shape): void;\n'
  const sibling = facade.replace('Shape', 'string')
  const before = '[.]\nShape: interface\n\n[declarations]\n\ninterface Shape {\n  readonly name: string;\n}\n'
  const after = before.replace('  readonly name: string;\n', '')
  const packages = [
    {
      name: '@disk-image/core',
      where: 'core',
      dependencies: [],
      now: after,
      released: { version: '1.0.0', record: before },
    },
    {
      name: '@disk-image/x',
      where: 'x',
      dependencies,
      now: facade,
      released: { version: '0.3.0', record: facade },
    },
    {
      name: '@disk-image/y',
      where: 'y',
      dependencies,
      now: sibling,
      released: { version: '2.0.0', record: sibling },
    },
  ]
  const problems = checkLevels(packages, new Map([['@disk-image/core', 'major']]))
  expect(problems.map(({ where }) => where)).toEqual(['x'])
  expect(problems[0]?.what).toContain('Shape.name is gone')
  expect(problems[0]?.what).toContain('level minor for @disk-image/x')
})
