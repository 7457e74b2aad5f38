import { buildDisk, writeDisk, type BuiltDisk, type DiskPlan } from './build-vhd.ts'
import path from 'node:path'

/** What a chain shows, leaf first, computed sector by sector without any cleverness. */
export function chainView(plans: readonly DiskPlan[]): Buffer {
  const leaf = plans[0] as DiskPlan
  const view = Buffer.alloc(leaf.sizeBytes)
  const written = plans.map((plan) => {
    const sectors = new Map<number, Uint8Array>()
    for (const { sector, data } of plan.writes) {
      for (let at = 0; at < data.length; at += 512)
        sectors.set(sector + at / 512, data.subarray(at, at + 512))
    }
    return sectors
  })
  for (let sector = 0; sector * 512 < leaf.sizeBytes; sector += 1) {
    for (const [level, plan] of plans.entries()) {
      if (sector * 512 >= plan.sizeBytes) break
      const data = written[level]?.get(sector)
      if (data !== undefined) {
        // A disk that ends inside a sector shows zeros behind its end, whatever its parents have.
        const ends = plans.slice(0, level + 1).map(({ sizeBytes }) => sizeBytes - sector * 512)
        const shown = Math.min(512, ...ends)
        view.set(data.subarray(0, shown), sector * 512)
        break
      }
    }
  }
  return view
}

/** Builds a chain, leaf first, as `0.vhd`, `1.vhd` … in a folder; uuids fit together. */
export function writeChain(
  directory: string,
  plans: readonly DiskPlan[],
): { readonly paths: string[]; readonly disks: BuiltDisk[] } {
  const disks: BuiltDisk[] = []
  const paths = plans.map((_, index) => path.join(directory, `${index}.vhd`))
  let parentUniqueId: string | undefined
  for (const plan of plans.toReversed()) {
    const disk = buildDisk({ ...(parentUniqueId === undefined ? {} : { parentUniqueId }), ...plan })
    parentUniqueId = plan.type === 'raw' ? '00000000-0000-0000-0000-000000000000' : disk.uniqueId
    disks.unshift(disk)
  }
  for (const [index, disk] of disks.entries()) writeDisk(paths[index] as string, disk)
  return { paths, disks }
}
