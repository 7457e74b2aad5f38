import { expect, test } from 'vitest'
import { judgeResults } from './package-benchmarks.ts'

test('each workload has a target of its own, or the common one', () => {
  const results = [
    { workload: 'A', ratio: 1.2 },
    { workload: 'B', ratio: 1.7 },
    { workload: 'C', ratio: 0.3 },
  ]
  expect(judgeResults({ A: 1.3, B: 1.6, '*': 0.2 }, { results }).map(({ met }) => met)).toEqual([
    true,
    false,
    false,
  ])
})

test('nothing to judge is a miss', () => {
  expect(judgeResults({ A: 1.3 }, {})).toMatchObject([{ met: false }])
  expect(judgeResults({ A: 1.3 }, { results: [{ workload: 'A' }] })).toMatchObject([{ met: false }])
})
