import { expect, test } from 'vitest'
import { isWanted, parseOptions } from './options.ts'

test('what is measured by default, in a hurry, and with much time', () => {
  expect(parseOptions([])).toMatchObject({ rounds: 5, sizesGiB: [1, 3, 10] })
  expect(parseOptions(['--', '--quick'])).toMatchObject({ rounds: 3, sizesGiB: [1] })
  expect(parseOptions(['--size', '5', '--rounds', '7'])).toMatchObject({ rounds: 7, sizesGiB: [5] })
  expect(parseOptions(['--quick', '--size', '3,1,3'])).toMatchObject({ rounds: 3, sizesGiB: [1, 3] })
})

test('jobs are chosen by their names, or by parts where no job has that name', () => {
  const names = ['raw-to-file', 'glance-raw-to-file', 'upload-raw', 'many']
  const chosen = (...args: string[]): string[] =>
    names.filter((name) => isWanted(parseOptions(args).only, name, names))
  expect(chosen()).toEqual(names)
  expect(chosen('--only', 'raw-to-file')).toEqual(['raw-to-file'])
  expect(chosen('--only', 'to-file')).toEqual(['raw-to-file', 'glance-raw-to-file'])
  expect(chosen('--only', 'glance,many')).toEqual(['glance-raw-to-file', 'many'])
  expect(chosen('--only', 'none')).toEqual([])
})

test('the scaling has rounds of its own', () => {
  expect(parseOptions(['--', '--scaling', '--write', 'page.md'])).toMatchObject({
    scaling: true,
    rounds: 3,
    writeFile: 'page.md',
  })
  expect(parseOptions(['--scaling', '--quick', '--rounds', '1'])).toMatchObject({ quick: true, rounds: 1 })
})

test.each([
  [['--rounds', '0'], 'not a whole number'],
  [['--rounds', 'many'], 'not a whole number'],
  [['--size', '0'], 'not whole numbers'],
  [['--size', '1,'], 'not whole numbers'],
  [['--size', '0.5'], 'not whole numbers'],
  [['--quik'], "Unknown option '--quik'"],
])('%j is refused', (args, message) => {
  expect(() => parseOptions(args)).toThrow(message)
})
