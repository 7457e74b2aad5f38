import { readFile } from 'node:fs/promises'
import { campaign } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { allSeeds } from '../build/more-seeds.ts'
import { MutableImage } from '../build/mutable-image.ts'
import { mutateInPlace } from '../build/mutate.ts'
import { Random } from '../build/random.ts'
import type { Seed } from '../build/seeds.ts'
import { judge } from '../judge.ts'
import { checkSoundness } from '../soundness.ts'
import { inspectBytes, run, temporaryDirectory } from '../support.ts'

/** Changed images of each kind that qemu-img opens. */
const { seed: firstSeed, runs: sample } = campaign(12)
const all = allSeeds()
const safe = all.filter(({ bytes, format }) => format !== 'raw' && inspectBytes(bytes).safe)
let directory: Awaited<ReturnType<typeof temporaryDirectory>>

beforeAll(async () => {
  directory = await temporaryDirectory()
})
afterAll(() => directory[Symbol.asyncDispose]())

/** Opens with qemu-img what is called safe of many changed images. */
async function openSample(
  seed: Seed,
  random: Random,
): Promise<{ readonly opened: number; readonly problems: readonly string[] }> {
  const image = new MutableImage(seed.bytes.slice())
  const problems: string[] = []
  let opened = 0
  for (let count = 0; count < 20_000 && opened < sample; count += 1) {
    mutateInPlace(image, seed, all, random)
    // What is not changed where it is read proves nothing.
    const isChanged = image.changes().length > 0 || image.size < seed.bytes.length
    const { result } = await judge(image.bytes)
    // What became raw needs no proof: as raw nothing is ever opened.
    if (isChanged && result.safe && result.format !== 'raw') {
      opened += 1
      const problem = await checkSoundness(directory.path, image.bytes, result)
      if (problem !== undefined) problems.push(`${count}: ${problem}`)
    }
    image.restore()
  }
  return { opened, problems }
}

describe('what is called safe after random changes opens nothing else', () => {
  test.each(safe.map((seed, index) => [seed.name, seed, index] as const))(
    '%s',
    { timeout: 120_000 + sample * 10_000 },
    async (_, seed, index) => {
      expect(await checkSoundness(directory.path, seed.bytes, inspectBytes(seed.bytes))).toBeUndefined()
      expect(await openSample(seed, new Random(104_729 * (index + firstSeed)))).toEqual({
        opened: sample,
        problems: [],
      })
    },
  )
})

describe('images of qemu-img, changed, that are called safe open nothing else', () => {
  test.each([
    ['qcow2', 'qcow2', 'cluster_size=4k'],
    ['qcow2', 'qcow2', 'compat=0.10'],
    ['vmdk', 'vmdk', ''],
    ['vmdk', 'vmdk', 'subformat=streamOptimized'],
    ['vhd', 'vpc', ''],
    ['vhdx', 'vhdx', 'log_size=1M,block_size=1M'],
    ['vdi', 'vdi', ''],
    ['parallels', 'parallels', 'cluster_size=64k'],
  ])('%s by %s %s', { timeout: 120_000 + sample * 10_000 }, async (format, name, options) => {
    const file = `${directory.path}/made`
    await run('qemu-img', [
      'create',
      '-q',
      '-f',
      name,
      ...(options === '' ? [] : ['-o', options]),
      file,
      '6M',
    ])
    if (!options.includes('streamOptimized')) {
      await run('qemu-io', ['-f', name, '-c', 'write -P 7 0 64k', '-c', 'write -P 9 3M 4k', file])
    }
    const bytes = new Uint8Array(await readFile(file))
    const known = all.find((seed) => seed.name === format)?.interesting ?? []
    const interesting = [...known.filter(([, to]) => to <= bytes.length), [0, 512] as const]
    const seed = { name: format, format, bytes, interesting }
    expect(inspectBytes(bytes).safe).toBe(true)
    expect(await openSample(seed, new Random(bytes.length - 1 + firstSeed))).toEqual({
      opened: sample,
      problems: [],
    })
  })
})
