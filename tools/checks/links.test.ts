import { expect, test } from 'vitest'
import { checkPage } from './links.ts'
import { writeTree } from './tree.testing.ts'

function problemsOf(page: string): string[] {
  using tree = writeTree({ 'docs/page.md': page, 'docs/other.md': '# One, two & `three`\n', 'src/a.ts': '' })
  return checkPage(tree.root, 'docs/page.md').map(({ what }) => what)
}

test.each([
  '[file](../src/a.ts)',
  '[folder](../src)',
  '[page](other.md)',
  '[heading](other.md#one-two--three)',
  '# Here\n[own heading](#here)',
  '[elsewhere](https://example.org/x)',
  '```md\n[in code](missing.md)\n```',
])('%j leads somewhere', (page) => {
  expect(problemsOf(page)).toEqual([])
})

test.each([
  ['[file](../src/b.ts)', 'links to ../src/b.ts, which does not exist'],
  ['[heading](other.md#four)', 'links to other.md#four, which has no such heading'],
  ['[own heading](#there)', 'links to #there, which has no such heading'],
])('%j leads nowhere', (page, problem) => {
  expect(problemsOf(page)).toEqual([problem])
})
