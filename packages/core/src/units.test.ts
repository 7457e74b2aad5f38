import { expect, test } from 'vitest'
import { formatBytes, GiB, MiB, toSafeNumber } from './units.ts'

test.each([
  [0, '0 B'],
  [512, '512 B'],
  [1536, '1.50 KiB'],
  [MiB, '1 MiB'],
  [10.5 * GiB, '10.5 GiB'],
])('%d bytes is %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text)
})

test('a size beyond 2^53 is refused with its name', () => {
  expect(toSafeNumber(5n, 'size')).toBe(5)
  expect(() => toSafeNumber(1n << 60n, 'L1 size')).toThrow(/L1 size is 1152921504606846976/)
  expect(() => toSafeNumber(-1n, 'size')).toThrow(/size is -1/)
})
