import { campaign } from '@disk-image/testing'
import { expect, test } from 'vitest'
import { allSeeds } from './build/more-seeds.ts'
import { MutableImage } from './build/mutable-image.ts'
import { mutateInPlace } from './build/mutate.ts'
import { Random } from './build/random.ts'
import { judge } from './judge.ts'

/** Changed images of each format. */
const { seed: firstSeed, runs: mutations } = campaign(2000, 20_000)

/** One of so many is judged as a stream too, which takes longer. */
const streamed = 16

/** Formats of which some change must stay safe: those that nothing survives would test the first check alone. */
const survivors = new Set(['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'parallels', 'luks'])

/** Declares the tests of every kind of a format: no change of its images does harm. */
export function testMutations(...formats: readonly string[]): void {
  const all = allSeeds()
  for (const format of formats) {
    const kinds = all.filter((seed) => seed.format === format)
    test(`${format}: ${mutations} changed images`, { timeout: 60_000 + mutations * 20 }, async () => {
      expect(kinds).not.toEqual([])
      const images = kinds.map((seed) => new MutableImage(seed.bytes.slice()))
      const random = new Random(7919 * (all.findIndex((seed) => seed.format === format) + firstSeed))
      const wrong: string[] = []
      let safe = 0
      let slowestMs = 0
      for (let count = 0; count < mutations && wrong.length < 20; count += 1) {
        const index = count % kinds.length
        const [seed, image] = [kinds[index], images[index]]
        if (seed === undefined || image === undefined) continue
        mutateInPlace(image, seed, all, random)
        const cut = count % streamed === 0 ? random.below(image.size + 1) : undefined
        const start = performance.now()
        const { result, found } = await judge(image.bytes, cut)
        slowestMs = Math.max(slowestMs, performance.now() - start)
        if (result.safe) safe += 1
        for (const problem of found) wrong.push(`${seed.name} ${count}: ${problem}`)
        image.restore()
      }
      expect(wrong).toEqual([])
      expect(slowestMs).toBeLessThan(5000)
      for (const [index, image] of images.entries()) expect(image.bytes).toEqual(kinds[index]?.bytes)
      expect(safe).toBeGreaterThanOrEqual(survivors.has(format) ? mutations / 50 : 0)
    })
  }
}
