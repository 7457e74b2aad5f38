import { expect, test } from 'vitest'
import { parseOptions } from './options.ts'

test('what is measured by default, in a hurry, and with much time', () => {
  expect(parseOptions([])).toMatchObject({ rounds: 5, sizesGiB: [1, 3] })
  expect(parseOptions(['--', '--quick'])).toMatchObject({ rounds: 3, sizesGiB: [1] })
  expect(parseOptions(['--full', '--rounds', '7'])).toMatchObject({ rounds: 7, sizesGiB: [1, 3, 10] })
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
  [['--quik'], "Unknown option '--quik'"],
])('%j is refused', (args, message) => {
  expect(() => parseOptions(args)).toThrow(message)
})
