import { MiB } from '@disk-image/core'
import { VhdError } from '../errors/vhd-error.ts'
import { disagreements, findFooter } from '../inspect/footers.ts'
import { openSource, type VhdSource } from '../io/byte-source.ts'

/**
 * A disk's size in whole MiB, rounded down, by its current size; its geometry is not asked.
 *
 * @throws {VhdError} where there is no footer, or not one that is certain
 * @see cinder.image.image_utils.get_vhd_size
 */
export async function getVhdSize(vhd: VhdSource): Promise<number> {
  const source = await openSource(vhd)
  try {
    const found = await findFooter(source)
    if ('rule' in found) throw new VhdError({ ...found, path: source.path })
    const fatal = found.issues.find(({ rule }) => disagreements.has(rule))
    if (fatal !== undefined) throw new VhdError({ ...fatal, path: source.path })
    return Math.floor(found.footer.currentSizeBytes / MiB)
  } finally {
    await source.close()
  }
}
