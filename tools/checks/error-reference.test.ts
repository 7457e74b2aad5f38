import { expect, test } from 'vitest'
import { checkErrorReference } from './error-reference.ts'
import { writeTree, type Tree } from './tree.testing.ts'

const source = (code: string): string =>
  `export class LostError extends ImageError {\n  /** Stable. */\n  readonly code = '${code}'\n  readonly kind = 'failed'\n}\n`

const entry = (code: string): string =>
  `### \`${code}\`\n\n\`LostError\`, kind \`failed\`, from host\n\nIt is lost.\n\n- **Cause:** haste.\n- **What to do:** look.\n`

function problemsOf(changes: Tree): string[] {
  using tree = writeTree({
    'packages/host/package.json': { name: '@disk-image/host' },
    'packages/host/src/lost-error.ts': source('LOST'),
    'docs/reference/errors.md': `# Errors\n\n${entry('LOST')}`,
    ...changes,
  })
  return checkErrorReference(tree.root).map(({ where, what }) => `${where}: ${what}`)
}

test('a page with every code is in order', () => {
  expect(problemsOf({})).toEqual([])
})

test('a code without an entry is told, and an entry without a code', () => {
  expect(problemsOf({ 'packages/host/src/lost-error.ts': source('GONE') })).toEqual([
    'packages/host/src/lost-error.ts: GONE has no entry in docs/reference/errors.md',
    'docs/reference/errors.md: describes LOST, which no package throws',
  ])
})

test('an entry names the class and the package, and says what to do', () => {
  const page = entry('LOST')
    .replace('LostError', 'FoundError')
    .replace('from host', 'from core')
    .replace('**What to do:**', 'Well,')
  expect(problemsOf({ 'docs/reference/errors.md': page })).toEqual([
    'docs/reference/errors.md: the entry LOST does not say `LostError`',
    'docs/reference/errors.md: the entry LOST does not say from host',
    'docs/reference/errors.md: the entry LOST does not say **What to do:**',
  ])
})

test('several entries are told apart', () => {
  const page = `${entry('LOST')}\n${entry('OTHER')}`
  expect(problemsOf({ 'docs/reference/errors.md': page })).toEqual([
    'docs/reference/errors.md: describes OTHER, which no package throws',
  ])
})

test('codes of tests do not count', () => {
  expect(problemsOf({ 'packages/host/src/x.test.ts': source('TEST_ONLY') })).toEqual([])
})
