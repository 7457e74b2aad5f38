import { realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import { parseRbdName } from '../jobs/volume-name.ts'
import type { BackendOptions } from './options.ts'

/**
 * Refuses a volume that a back end doesn't have: a job says which volume, the worker's configuration says where
 * volumes are. A link that leads out of the folders is refused, but for links to block devices: volume managers
 * make those.
 *
 * @throws {InvalidError}
 */
export async function checkVolume(
  volume: string,
  backendName: string,
  backend: BackendOptions,
): Promise<void> {
  const refuse = (why: string): never => {
    throw new InvalidError({ reason: `The volume ${volume} is not of the back end ${backendName}: ${why}` })
  }
  if (volume.startsWith('rbd:')) {
    const name = parseRbdName(volume)
    if (name === undefined || !(backend.pools ?? []).includes(name.pool)) refuse('its pool is not served.')
    return
  }
  const folders = backend.folders ?? []
  if (!folders.some((folder) => isInside(volume, folder))) refuse('its folder is not served.')
  const found = await stat(volume).catch(() => undefined)
  if (found?.isBlockDevice() === true) return
  const real = await realpath(found === undefined ? path.dirname(volume) : volume).catch(() => undefined)
  // What isn't there is for the facade to tell, in its own words.
  if (real === undefined) return
  const realFolders = await Promise.all(folders.map((folder) => realpath(folder).catch(() => folder)))
  const target = found === undefined ? path.join(real, path.basename(volume)) : real
  if (!realFolders.some((folder) => isInside(target, folder))) refuse('a link leads out of it.')
}

function isInside(file: string, folder: string): boolean {
  const relative = path.relative(folder, file)
  return (
    relative !== '' &&
    relative !== '..' &&
    !relative.startsWith(`..${path.sep}`) &&
    !path.isAbsolute(relative)
  )
}
