import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { VhdError } from '../errors/vhd-error.ts'

/** No chain is longer; XenServer's own limit is 30. */
const longestChain = 1024

/**
 * The files `0.vhd`, `1.vhd` … of a folder up to the first that is not there: leaf first, base last.
 *
 * @throws {VhdError} rule `not-a-file` where one of them is a link, a folder, a pipe or a device
 * @see cinder.image.image_utils.discover_vhd_chain
 */
export async function discoverVhdChain(directory: string): Promise<string[]> {
  const chain: string[] = []
  while (chain.length < longestChain) {
    const path = join(directory, `${chain.length}.vhd`)
    const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
      throw error
    })
    if (stat === undefined) return chain
    if (!stat.isFile()) throw new VhdError({ path, rule: 'not-a-file', reason: 'it is not a regular file' })
    chain.push(path)
  }
  throw new VhdError({
    path: directory,
    rule: 'chain-length',
    reason: `the chain has more than ${longestChain} disks`,
  })
}
