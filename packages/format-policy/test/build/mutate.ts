import { latin1 } from './bytes.ts'
import type { Seed } from './seeds.ts'

/** Numbers that are the same in every run with the same seed. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % Math.max(1, limit)
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T
  }
}

const numbers: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  4n,
  8n,
  511n,
  512n,
  513n,
  0x7fn,
  0x80n,
  0xffn,
  0xffffn,
  65536n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  1n << 32n,
  1n << 40n,
  1n << 53n,
  (1n << 63n) - 512n,
  1n << 63n,
  (1n << 64n) - 1n,
]
const phrases = [
  'QFI\xfb\0\0\0\x03',
  'KDMV',
  'COWD',
  'conectix',
  'vhdxfile',
  'QED\0',
  'LUKS\xba\xbe',
  'CD001',
  'EFI PART',
  '/etc/passwd',
  '\x7f\x10\xda\xbe',
  '\x55\xaa',
  '\x1f\x8b\x08\0',
  'createType="vmfs"\n',
  'version=1\n',
  'parentFileNameHint="/x"\n',
  'RW 8 FLAT "/x" 0\n',
  '\0',
  '\r',
  '"',
  'json:{"driver":"raw"}',
  'DATA\0\0\0\x08',
]

function place(random: Random, seed: Seed, length: number): number {
  if (random.below(8) === 0) return random.below(length)
  const [from, to] = random.pick(seed.interesting)
  return from + random.below(to - from)
}

/** One changed image: bits, numbers, phrases, moved parts, cuts; one to four changes at once. */
export function mutate(seed: Seed, others: readonly Seed[], random: Random): Uint8Array {
  let bytes = seed.bytes.slice()
  const changes = 1 + random.below(4)
  for (let change = 0; change < changes && bytes.length > 0; change += 1) {
    const at = Math.min(place(random, seed, bytes.length), bytes.length - 1)
    switch (random.below(7)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
        break
      case 1:
        bytes[at] = random.below(256)
        break
      case 2:
      case 3:
        putNumber(bytes, at & ~3, random)
        break
      case 4:
        bytes.set(latin1(random.pick(phrases)).subarray(0, bytes.length - at), at)
        break
      case 5: {
        const other = random.pick(others).bytes
        const length = Math.min(1 + random.below(600), bytes.length - at)
        bytes.set(other.subarray(at, at + length), at)
        break
      }
      default:
        bytes = bytes.slice(0, random.below(4) === 0 ? random.below(bytes.length) : Math.max(at, 1))
    }
  }
  return bytes
}

function putNumber(bytes: Uint8Array, at: number, random: Random): void {
  const value = random.pick(numbers)
  const length = random.pick([2, 4, 8])
  const little = random.below(2) === 0
  for (let index = 0; index < length && at + index < bytes.length; index += 1) {
    const shift = BigInt(8 * (little ? index : length - 1 - index))
    bytes[at + index] = Number((value >> shift) & 255n)
  }
}
