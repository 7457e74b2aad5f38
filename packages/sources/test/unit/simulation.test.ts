import { runSeeds } from '@disk-image/testing/simulation'
import { expect, test } from 'vitest'
import { web } from '../simulation/web.ts'

test('a seed repeats exactly', async () => {
  const [first, again, other] = [await web(7), await web(7), await web(8)]
  expect(again).toEqual(first)
  expect(other.hash).not.toBe(first.hash)
})

test('every download has the bytes of one version or an error, and ends, in each of many worlds', async () => {
  const { downloaded = 0, IMAGE_DOWNLOAD_FAILED: failed = 0 } = await runSeeds(web, 1, 40)
  expect(Math.min(downloaded, failed)).toBeGreaterThan(10)
})
