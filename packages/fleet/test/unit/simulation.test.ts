import { runSeeds } from '@disk-image/testing/simulation'
import { expect, test } from 'vitest'
import { fleet } from '../simulation/fleet.ts'

test('a seed repeats exactly', async () => {
  const [first, again, other] = [await fleet(7), await fleet(7), await fleet(8)]
  expect(again).toEqual(first)
  expect(other.hash).not.toBe(first.hash)
})

test('a worker that was stopped in the middle writes nothing after who came next', async () => {
  for (const seed of [5, 78, 101]) await fleet(seed)
})

test('every job ends once, with the right bytes, in each of many worlds', async () => {
  const counts = await runSeeds(fleet, 1, 40)
  expect(counts['completed']).toBeGreaterThan(50)
  expect(counts['lease-lost']).toBeGreaterThan(10)
})
