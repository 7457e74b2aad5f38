import { expect, test } from 'vitest'
import { checkWords } from './project-words.ts'

test.each([
  'see /work/main/x',
  'const file = "/home/jane/disk.raw"',
  'read ../shared/design/cli.md',
  '<<<<<<< HEAD',
  'it.only(',
])('%s is refused', (text) => {
  expect(checkWords('a.md', `first line\n${text}`)).toMatchObject([{ where: 'a.md:2' }])
})

test.each(['a network/work unit', '/home/user/disk.raw', '/var/lib/glance/work', 'we share it'])(
  '%s is accepted',
  (text) => {
    expect(checkWords('a.md', text)).toEqual([])
  },
)
