import { readFile } from 'node:fs/promises'
import type { ReadableFormat } from '@disk-image/disk'
import type { Random } from '../../random.ts'
import { makeDisk, tool } from '../formats/tools.ts'
import { generateImage } from '../qcow2/generate-image.ts'
import { mutateImage } from '../qcow2/mutate-image.ts'
import { buildByHand } from './by-hand.ts'
import { generateSet } from './generate-set.ts'
import { generateWrapped } from './generate-wrapped.ts'
import { mutate } from './mutate.ts'
import { mutateSet, mutateWrapped } from './mutate-others.ts'
import { imageOf, type Sample, type Scratch } from './sample.ts'

/** A kind of image: what is made of it, and how it is damaged. */
export interface Kind {
  readonly format: ReadableFormat | 'wrapped'
  generate(random: Random, scratch: Scratch): Promise<Sample>
  mutate(random: Random, sample: Sample): Sample
}

const vmdkStream = '/usr/lib/python3/dist-packages/VMDKstream.py'

/** By name of the kind. */
export const kinds: Readonly<Record<string, Kind>> = {
  vmdk: inOneFile('vmdk', [
    'subformat=monolithicSparse',
    'subformat=streamOptimized',
    'zeroed_grain=on',
    'compat6=on',
    'VMDKstream',
  ]),
  'vmdk-set': { format: 'vmdk', generate: generateSet, mutate: mutateSet },
  vdi: inOneFile('vdi', ['static=off', 'static=off', 'static=on']),
  parallels: inOneFile('parallels', ['cluster_size=64k', 'cluster_size=1M', 'cluster_size=4k']),
  vhdx: inOneFile('vhdx', ['block_size=1M', 'block_size=2M', 'subformat=fixed', 'block_state_zero=off']),
  vpc: inOneFile('vpc', [
    'force_size=on',
    'force_size=off',
    'subformat=fixed,force_size=on',
    'subformat=fixed',
  ]),
  qcow2: {
    format: 'qcow2',
    generate: async (random, scratch) => {
      const file = scratch.file('good')
      const { description } = await generateImage(random, file)
      return { what: description, files: new Map([['image', await readFile(file)]]) }
    },
    mutate: (random, sample) => {
      const { bytes, description } = mutateImage(random, imageOf(sample))
      return { what: description, files: new Map([['image', bytes]]) }
    },
  },
  ...Object.fromEntries(
    (['raw', 'gzip', 'zstd', 'xz', 'bzip2', 'tar', 'ova'] as const).map((name) => {
      const kind: Kind = {
        format: 'wrapped',
        generate: (random, scratch) => generateWrapped(name, random, scratch),
        mutate: (random, sample) => mutateWrapped(name, random, sample),
      }
      return [name, kind]
    }),
  ),
}

/** As qemu-img writes it, or as others do. */
function inOneFile(format: ReadableFormat, choices: readonly [string, ...string[]]): Kind {
  return {
    format,
    generate: async (random, scratch) => {
      const byHand = random.chance(0.3) ? buildByHand(random, format) : undefined
      // libvmdk opens even an extent in the same file by its name.
      if (byHand !== undefined) return { what: 'by hand', files: new Map([['disk.vmdk', byHand]]) }
      const choice = random.pick(choices)
      const [raw, good] = [scratch.file('raw'), scratch.file('good')]
      await makeDisk(random, raw, 512 * (1 + random.below(random.pick([100, 10_000, 10_000, 40_000]))))
      if (choice === 'VMDKstream') await tool('python3', vmdkStream, raw, good)
      else await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, '-o', choice, raw, good)
      return { what: choice, files: new Map([['good', await readFile(good)]]) }
    },
    mutate: (random, sample) => {
      const { bytes, what } = mutate(random, format, imageOf(sample))
      return { what, files: new Map([['image', bytes]]) }
    },
  }
}
