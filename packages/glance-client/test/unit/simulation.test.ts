import { runSeeds } from '@disk-image/testing/simulation'
import { expect, test } from 'vitest'
import { glance } from '../simulation/glance.ts'

test('a seed repeats exactly', async () => {
  const [first, again, other] = [await glance(7), await glance(7), await glance(8)]
  expect(again).toEqual(first)
  expect(other.hash).not.toBe(first.hash)
})

test('every download and upload has the right bytes or an error, and ends, in each of many worlds', async () => {
  const { downloaded = 0, uploaded = 0, IMAGE_DOWNLOAD_FAILED: failed = 0 } = await runSeeds(glance, 1, 30)
  expect(Math.min(downloaded, uploaded, failed)).toBeGreaterThan(3)
})
