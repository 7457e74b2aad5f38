import { expect, test } from 'vitest'
import { randomHex } from './temporary-name.ts'

test('16 digits, each of which takes every value', () => {
  const values = Array.from({ length: 2000 }, randomHex)
  expect(new Set(values).size).toBe(2000)
  for (const value of values) expect(value).toMatch(/^[0-9a-f]{16}$/)
  for (let digit = 0; digit < 16; digit += 1) {
    // That one of 16 is missing in 2000 has a chance of 10 to the power of -54.
    expect(new Set(values.map((value) => value[digit])).size).toBe(16)
  }
})
