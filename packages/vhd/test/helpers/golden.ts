import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { openVhdChain, type ChainSource } from '@disk-image/vhd'
import { pattern, type DiskPlan, type SectorWrite } from './build-vhd.ts'

/** One row of the golden table: what vhd-util and qemu-img made of a chain. */
export interface Scenario {
  readonly name: string
  readonly base: 'tap-dynamic' | 'tap-fixed' | 'qemu-dynamic-chs' | 'qemu-dynamic-force'
  readonly ops: readonly (readonly [disk: number, kind: 'w' | 'z' | 'q', start: number, count: number])[]
  readonly hidden: readonly number[]
  readonly full_batmap: readonly number[]
  readonly before: {
    readonly disks: readonly {
      readonly csz: number
      readonly maxb: number
      readonly fsize: number
      readonly bat: readonly (readonly [block: number, sector: number, bits: number])[]
    }[]
    readonly query_v: readonly string[]
    readonly chain_sha: string
    readonly chain_size: number
  }
  readonly ok: boolean
  readonly after: {
    readonly disk: {
      readonly csz: number
      readonly fsize: number
      readonly bat: readonly (readonly number[])[]
    }
    readonly query_v: string
    readonly own_sha: string
  }
}

export const scenarios = JSON.parse(
  readFileSync(new URL('../vectors/golden.json', import.meta.url), 'utf8'),
) as readonly Scenario[]

/** A row's disks, leaf first, as they were before. */
export function plansOf(scenario: Scenario): DiskPlan[] {
  return scenario.before.disks.map((disk, index) => {
    const isBase = index === scenario.before.disks.length - 1
    const writes: SectorWrite[] = []
    let qemu = false
    for (const [level, kind, sector, count] of scenario.ops) {
      if (level !== index) continue
      const data =
        kind === 'w'
          ? pattern(`${scenario.name}/${level}/${sector}`, count)
          : Buffer.alloc(count * 512, kind === 'q' ? 0xa0 + level : 0)
      qemu ||= kind === 'q'
      writes.push({ sector, data })
    }
    const isQemu = isBase && scenario.base.startsWith('qemu')
    return {
      type: isBase ? (scenario.base === 'tap-fixed' ? 'fixed' : 'dynamic') : 'differencing',
      sizeBytes: disk.csz,
      writes,
      creator: isQemu ? 'qemu' : 'tap',
      clobberBatmap: qemu && !isQemu,
      hidden: scenario.hidden.includes(index),
      markFull: scenario.full_batmap.includes(index),
      spareEntries: disk.maxb - Math.ceil(disk.csz / 2 ** 21),
    }
  })
}

/** SHA-256 of what a chain shows, of its first bytes only where told so. */
export async function chainHash(
  sources: ChainSource | readonly ChainSource[],
  limit = Infinity,
): Promise<string> {
  const hash = createHash('sha256')
  await using chain = await openVhdChain(sources)
  const zeroes = Buffer.alloc(2 ** 20)
  await chain.copyTo({
    data: (offset, bytes) => void hash.update(bytes.subarray(0, Math.max(0, limit - offset))),
    zero(offset, length) {
      for (let left = Math.min(limit - offset, length); left > 0; left -= zeroes.length)
        hash.update(zeroes.subarray(0, Math.min(left, zeroes.length)))
    },
  })
  return hash.digest('hex')
}
