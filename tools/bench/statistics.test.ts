import { expect, test } from 'vitest'
import { spreadOf } from './statistics.ts'

test('the median of an odd and an even number of values', () => {
  expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 })
  expect(spreadOf([4, 1, 2, 10])).toEqual({ median: 3, min: 1, max: 10 })
})

test('nothing has no median', () => {
  expect(() => spreadOf([])).toThrow('no values')
})
