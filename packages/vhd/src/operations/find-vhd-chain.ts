import { findParent } from '../chain/find-parent.ts'
import { openDisk } from '../chain/disk.ts'
import { VhdError } from '../errors/vhd-error.ts'

/** Nobody's chain is longer. */
const longestChain = 1024

/**
 * Follows a disk's parent locators to its base.
 *
 * Only for files that somebody vouches for: a locator may name any file of this machine.
 *
 * @returns paths, leaf first, base last
 * @throws {VhdError} rules `parent-missing`, `chain-loop`, `chain-length`, or what is wrong with a file
 */
export async function findVhdChain(leafPath: string): Promise<string[]> {
  const chain: string[] = []
  const seen = new Set<string>()
  let path: string | undefined = leafPath
  while (path !== undefined) {
    if (chain.length === longestChain) {
      throw new VhdError({
        path,
        rule: 'chain-length',
        reason: `the chain has more than ${longestChain} disks`,
      })
    }
    const disk = await openDisk(path)
    try {
      const identity = disk.source.identity ?? path
      if (seen.has(identity)) {
        throw new VhdError({ path, rule: 'chain-loop', reason: 'the same file is in the chain twice' })
      }
      seen.add(identity)
      chain.push(path)
      path = disk.type === 'differencing' ? await findParent(disk, path) : undefined
    } finally {
      await disk.close()
    }
  }
  return chain
}
