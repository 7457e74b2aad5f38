import { latin1 } from './bytes.ts'
import { type Field, knownFields } from './fields.ts'
import { MutableImage } from './mutable-image.ts'
import type { Random } from './random.ts'
import { repair } from './repair.ts'
import type { Seed } from './seeds.ts'

const phrases = [
  'QFI\xfb\0\0\0\x03',
  'QFI\xfb\0\0\0\x01',
  'KDMV',
  'COWD',
  'conectix',
  'cxsparse',
  'vhdxfile',
  'QED\0',
  'LUKS\xba\xbe',
  'CD001',
  'NSR02',
  'EFI PART',
  'koly\0\0\0\x04\0\0\x02\0',
  '/etc/passwd',
  '\x7f\x10\xda\xbe',
  '\x55\xaa',
  '\x1f\x8b\x08\0',
  'createType="vmfs"\n',
  'createType="monolithicSparse"\n',
  'parentCID=00000001\n',
  'version=1\n',
  'parentFileNameHint="/x"\n',
  'RW 8 FLAT "/x" 0\n',
  'RW 2048 SPARSE "x"\n',
  '# Disk DescriptorFile\n',
  'ustar',
  '\0',
  '\r',
  '"',
  'json:{"driver":"raw"}',
  'DATA\0\0\0\x08',
  '\xe2\x79\x2a\xca\0\0\0\x08',
  '\x23\x85\x28\x75\0\0\0\x18',
  '\x05\x37\xbe\x77\0\0\0\x10',
]
const longestSplice = 4096

/** A number near the edge of what its bytes, the file or another field can hold. */
function edge(random: Random, size: number, before: bigint): bigint {
  const power = 1n << BigInt(random.below(65))
  switch (random.below(9)) {
    case 0:
      return BigInt(random.below(5))
    case 1:
      return power
    case 2:
      return power - 1n
    case 3:
      return power + 1n
    case 4:
      return BigInt(size + random.below(3) - 1)
    case 5:
      return BigInt(Math.floor(size / 512) + random.below(3) - 1)
    case 6:
      return before + BigInt(random.below(3) - 1)
    case 7:
      return random.below(2) === 0 ? before * 2n : before / 2n
    default:
      return (BigInt(random.below(2 ** 32)) << 32n) | BigInt(random.below(2 ** 32))
  }
}

function readField({ at, length, little }: Field, bytes: Uint8Array): bigint {
  let value = 0n
  for (let index = 0; index < length; index += 1) {
    value = (value << 8n) | BigInt(bytes[at + (little ? length - 1 - index : index)] ?? 0)
  }
  return value
}

function putField(image: MutableImage, { at, length, little }: Field, value: bigint): void {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), little)
  image.put(at, little ? bytes.subarray(0, length) : bytes.subarray(8 - length))
}

/** Somewhere: usually where there is something to read. */
function place(random: Random, seed: Seed, size: number): number {
  if (random.below(8) === 0) return random.below(size)
  const [from, to] = random.pick(seed.interesting)
  return Math.min(from + random.below(to - from), Math.max(0, size - 1))
}

/**
 * Changes an image, one to four times: a field to a number at the edge, bits, bytes, phrases, pieces of other
 * images, cuts. Half of the time the checksums are made right afterwards.
 */
export function mutateInPlace(
  image: MutableImage,
  seed: Seed,
  others: readonly Seed[],
  random: Random,
): void {
  const fields = knownFields[seed.format]?.(seed.bytes.length) ?? []
  const changes = 1 + random.below(4)
  for (let change = 0; change < changes && image.size > 0; change += 1) {
    const at = place(random, seed, image.size)
    switch (random.below(10)) {
      case 0:
        image.put(at, Uint8Array.of((image.bytes[at] ?? 0) ^ (1 << random.below(8))))
        break
      case 1:
        image.put(at, Uint8Array.of(random.below(256)))
        break
      case 2: {
        const length = random.pick([2, 4, 8] as const)
        const field = { at: at & ~(length - 1), length, little: random.below(2) === 0 }
        putField(image, field, edge(random, image.size, readField(field, image.bytes)))
        break
      }
      case 3:
        image.put(at, latin1(random.pick(phrases)))
        break
      case 4: {
        // A piece of another image, from the same place or from its own fields to ours.
        const other = random.pick(others)
        const from = random.below(2) === 0 ? at : place(random, other, other.bytes.length)
        image.put(at, other.bytes.slice(from, from + 1 + random.below(longestSplice)))
        break
      }
      case 5:
        if (random.below(3) === 0) image.cut(random.below(4) === 0 ? random.below(image.size) : at)
        break
      default: {
        if (fields.length === 0) break
        const field = random.pick(fields)
        putField(image, field, edge(random, image.size, readField(field, image.bytes)))
      }
    }
  }
  if (random.below(2) === 0) repair(seed.format, image)
}

/** One changed image as bytes of its own. */
export function mutate(seed: Seed, others: readonly Seed[], random: Random): Uint8Array {
  const image = new MutableImage(seed.bytes.slice())
  mutateInPlace(image, seed, others, random)
  return image.bytes
}
