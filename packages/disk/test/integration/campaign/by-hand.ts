import type { Random } from '../../random.ts'
import { buildParallels, buildVdi } from '../../unit/formats/build-others.ts'
import { buildVmwareStream, descriptor } from '../../unit/formats/build-vmdk.ts'

/** An image as other programs write it and qemu-img does not; undefined where there is none of the format. */
export function buildByHand(random: Random, format: string): Buffer | undefined {
  switch (format) {
    case 'vmdk':
      return buildStream(random)
    case 'vdi': {
      const [first, ...blocks] = shuffled(random, [0, 1, 2, 0xffffffff, 0xfffffffe])
      const sizeBytes = 5 * 1024 ** 2 - 512 * random.below(3000)
      return buildVdi({
        map: [first ?? 0, ...blocks],
        blocks: [7, 8, 9],
        sizeBytes,
        kind: random.pick([1, 2]),
      })
    }
    case 'parallels': {
      const tracks = random.pick([1, 3, 8, 63])
      const extended = random.chance(0.5)
      const places = Array.from({ length: 6 }, (_, index) => (extended ? index + 1 : index * tracks + 2))
      const entries = shuffled(random, [...places, 0, 0])
      const fileBytes = 512 * (places.length + 2) * tracks
      return buildParallels({
        extended,
        tracks,
        entries,
        sectors: 8 * tracks - random.below(tracks),
        fileBytes,
      })
    }
    default:
      return undefined
  }
}

/** Grains of few kinds in any order, the last one maybe as short as the disk. */
function buildStream(random: Random): Buffer {
  const grain = random.pick([8, 16, 128])
  const capacity = 1 + random.below(grain * 40)
  const count = Math.ceil(capacity / grain)
  const numbers = shuffled(
    random,
    Array.from({ length: count }, (_, number) => number).filter(() => random.chance(0.7)),
  )
  const grains = numbers.map((number) => {
    const short = random.chance(0.5) ? Math.min(grain, capacity - number * grain) : grain
    const content = new Uint8Array(short * 512).map((_, at) => (random.chance(0.01) ? at : number + 1))
    return [number, content] as const
  })
  const text = descriptor('streamOptimized', '', `RW ${capacity} SPARSE "disk.vmdk"`)
  const parts = { capacity, grain, tableEntries: random.pick([4, 16, 512]), descriptor: text }
  return Buffer.from(buildVmwareStream(grains, parts))
}

function shuffled<Item>(random: Random, items: readonly Item[]): Item[] {
  return items.toSorted(() => random.next() - 0.5)
}
