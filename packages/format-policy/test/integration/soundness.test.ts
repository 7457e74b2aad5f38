import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mutate } from '../build/mutate.ts'
import { Random } from '../build/random.ts'
import { seeds } from '../build/seeds.ts'
import { checkSoundness } from '../soundness.ts'
import { inspectBytes, temporaryDirectory } from '../support.ts'

/** Changed images per format that qemu-img opens. `SOUNDNESS=500` looks deeper. */
const sample = Number(process.env['SOUNDNESS'] ?? 12)
const all = seeds()
let directory: Awaited<ReturnType<typeof temporaryDirectory>>

beforeAll(async () => {
  directory = await temporaryDirectory()
})
afterAll(() => directory[Symbol.asyncDispose]())

describe('what is called safe after random changes opens nothing else', () => {
  test.each(
    all.filter((seed) => seed.name !== 'vmdk-text').map((seed, index) => [seed.name, seed, index] as const),
  )(
    '%s',
    async (_, seed, index) => {
      const random = new Random(104_729 * (index + 1))
      expect(await checkSoundness(directory.path, seed.bytes, inspectBytes(seed.bytes))).toBeUndefined()
      let opened = 0
      for (let count = 0; count < 20_000 && opened < sample; count += 1) {
        const bytes = mutate(seed, all, random)
        const result = inspectBytes(bytes)
        // What became raw needs no proof: as raw nothing is ever opened.
        if (!result.safe || result.format === 'raw') continue
        opened += 1
        expect({ count, problem: await checkSoundness(directory.path, bytes, result) }).toEqual({ count })
      }
    },
    3_600_000,
  )
})
