import { expect, test } from 'vitest'
import { formatBytes, GiB, MiB } from './units.ts'

test.each([
  [0, '0 B'],
  [512, '512 B'],
  [1536, '1.50 KiB'],
  [MiB, '1 MiB'],
  [10.5 * GiB, '10.5 GiB'],
])('%d bytes is %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text)
})
