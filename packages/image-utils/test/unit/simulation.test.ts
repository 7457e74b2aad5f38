import { runSeeds } from '@disk-image/testing/simulation'
import { expect, test } from 'vitest'
import { queue } from '../simulation/queue.ts'

test('a seed repeats exactly', async () => {
  const [first, again, other] = [await queue(7), await queue(7), await queue(8)]
  expect(again).toEqual(first)
  expect(other.hash).not.toBe(first.hash)
})

test('every transfer of a queue ends once, with the right bytes, in each of many worlds', async () => {
  const { done = 0, failed = 0, cancelled = 0 } = await runSeeds(queue, 1, 100)
  expect(Math.min(done, failed, cancelled)).toBeGreaterThan(50)
})
