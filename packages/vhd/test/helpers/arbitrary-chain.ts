import * as fc from 'fast-check'
import type { DiskPlan, SectorWrite } from './build-vhd.ts'

const blockSizes = [4096, 16_384, 65_536, 2 ** 19, 2 ** 21] as const

/** Sectors of one write, told apart from all others by a counter. */
function sectors(seed: number, count: number, zero: boolean): Uint8Array {
  const bytes = Buffer.alloc(count * 512)
  if (zero) return bytes
  for (let sector = 0; sector < count; sector += 1) {
    bytes.fill(0x41 + ((seed * 31 + sector) % 26), sector * 512, (sector + 1) * 512)
    bytes.writeUInt32BE(seed, sector * 512)
    bytes.writeUInt32BE(sector, sector * 512 + 4)
  }
  return bytes
}

/**
 * Random chains, leaf first: 1 to 6 disks of any size up to some blocks, block sizes mixed, written by sectors,
 * some of them with zeros, over a base of any kind.
 */
export function arbitraryChain(kinds: readonly DiskPlan['type'][]): fc.Arbitrary<ChainSpec> {
  const disk = fc.record({
    blockBytes: fc.constantFrom(...blockSizes),
    sectors: fc.oneof(
      { weight: 4, arbitrary: fc.constant(0) },
      { weight: 2, arbitrary: fc.integer({ min: 1, max: 400 }) },
    ),
    // A whole number of sectors nearly always.
    odd: fc.constantFrom(0, 0, 0, 0, 0, 100),
    writes: fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        count: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(8, 32, 128, 300)),
        zero: fc.constantFrom(false, false, false, true),
        seed: fc.nat(1e6),
      }),
      { maxLength: 6 },
    ),
    creator: fc.constantFrom('tap', 'tap', 'win ', 'caml'),
    spareEntries: fc.constantFrom(0, 0, 0, 40),
    markFull: fc.boolean(),
    reverse: fc.boolean(),
    locators: fc.constantFrom(true, true, false),
  })
  return fc.record({
    common: fc.integer({ min: 1, max: 300 }),
    disks: fc.array(disk, { minLength: 1, maxLength: 6 }),
    base: fc.constantFrom(...kinds),
  })
}

/** A random chain as it is printed when a test fails. */
export interface ChainSpec {
  readonly common: number
  readonly base: DiskPlan['type']
  readonly disks: readonly (Omit<DiskPlan, 'type' | 'sizeBytes' | 'writes' | 'creator'> & {
    readonly creator: string
    readonly sectors: number
    readonly odd: number
    readonly writes: readonly { at: number; count: number; zero: boolean; seed: number }[]
  })[]
}

/** The chain's disks with their bytes. */
export function plansFrom({ common, disks, base }: ChainSpec): DiskPlan[] {
  return disks.map(({ sectors: own, odd, writes, creator, ...rest }, index): DiskPlan => {
    const count = own === 0 ? common : own
    const isBase = index === disks.length - 1
    const type = isBase ? base : 'differencing'
    const flat = type === 'fixed' || type === 'raw'
    const list = writes.map(({ at, count: wanted, zero, seed }): SectorWrite => {
      const sector = Math.floor(at * (count - 1))
      return { sector, data: sectors(seed, Math.min(wanted, count - sector), zero) }
    })
    const sizeBytes = flat || odd === 0 ? count * 512 : count * 512 - odd
    return { ...rest, type, sizeBytes, writes: list, creator: creator as 'tap' }
  })
}
