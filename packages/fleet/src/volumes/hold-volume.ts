import path from 'node:path'
import { constants } from 'node:fs'
import { lstat, open, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { InvalidError } from '@disk-image/core'
import { heldFile } from '@disk-image/host'
import { parseRbdName } from '../jobs/volume-name.ts'
import type { BackendOptions } from './volume-driver.ts'
import { isInDev, isInside, walkBeneath, WalkError } from './walk-beneath.ts'

/** A volume of a job, opened beneath its folder. Dispose it. */
export interface HeldVolume extends AsyncDisposable {
  /** What the facade is given: leads to this very file for as long as it is held. A volume of Ceph keeps its name. */
  readonly path: string
  readonly name: string
  /** Removes the file where it was made for the job. */
  takeBack(): Promise<void>
}

/** How often a name is tried that comes and goes. */
const mostTries = 20
const notAllowed = new Set(['EACCES', 'EPERM', 'EROFS'])

/**
 * Refuses a volume that a back end doesn't have, by its name alone: a job says which volume, the worker's
 * configuration says where volumes are. What is at that name is seen when it is opened: see {@link holdVolume}.
 *
 * @returns the folder that it is in; undefined for a volume of Ceph
 * @throws {InvalidError}
 */
export function checkVolumeName(
  volume: string,
  backendName: string,
  backend: BackendOptions,
): string | undefined {
  if (volume.startsWith('rbd:')) {
    const name = parseRbdName(volume)
    if (name === undefined || !(backend.pools ?? []).includes(name.pool)) {
      refuse(volume, backendName, 'its pool is not served.')
    }
    return undefined
  }
  const folders = (backend.folders ?? []).filter((name) => isInside(volume, name))
  const [folder] = folders.toSorted((left, right) => right.length - left.length)
  return folder ?? refuse(volume, backendName, 'its folder is not served.')
}

/**
 * Opens a volume beneath its folder, and holds it: the check and the opening are one act. A volume that is written and
 * isn't there is made, empty; a node under `/dev` never is.
 *
 * @throws {InvalidError} where it is not of the back end, or is a pipe, a socket, a terminal or a folder
 */
export async function holdVolume(
  volume: string,
  backendName: string,
  backend: BackendOptions,
  use: 'read' | 'write',
): Promise<HeldVolume> {
  const folder = checkVolumeName(volume, backendName, backend)
  const nothing = (): Promise<void> => Promise.resolve()
  if (folder === undefined) {
    return { path: volume, name: volume, takeBack: nothing, [Symbol.asyncDispose]: nothing }
  }
  try {
    for (let tries = 1; ; tries += 1) {
      const held = await tryToHold(volume, folder, backend, use)
      if (held !== undefined) return held
      if (tries >= mostTries) refuse(volume, backendName, 'its name is changed all the time.')
    }
  } catch (error) {
    if (error instanceof WalkError) refuse(volume, backendName, error.message)
    throw error
  }
}

/** @returns undefined where somebody else was quicker to make it */
async function tryToHold(
  volume: string,
  root: string,
  backend: BackendOptions,
  use: 'read' | 'write',
): Promise<HeldVolume | undefined> {
  const { folder, name, file } = await walkBeneath(root, path.relative(root, volume))
  const at = `/proc/${process.pid}/fd/${folder.fd}/${name}`
  try {
    if (file !== undefined) {
      return await holdThis(file, volume, folder, () => Promise.resolve())
    }
    if (use === 'read') throw new InvalidError({ reason: `There is no volume ${volume}.` })
    if (await isInDev(folder)) {
      const reason = `There is no device ${volume}. Writing there would create a regular file in RAM.`
      throw new InvalidError({ reason })
    }
    const made = await make(at)
    if (made === undefined) {
      await folder.close()
      return undefined
    }
    return await holdThis(made, volume, folder, () => removeOwn(at, made))
  } catch (error) {
    // Only the root helper can make it: by its name, in the folder that is held.
    const byHelper = backend.runAsRoot === true && notAllowed.has((error as NodeJS.ErrnoException).code ?? '')
    if (!byHelper) {
      await folder.close()
      throw error
    }
    return {
      path: at,
      name: volume,
      takeBack: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => folder.close(),
    }
  }
}

async function holdThis(
  file: FileHandle,
  volume: string,
  folder: FileHandle,
  takeBack: () => Promise<void>,
): Promise<HeldVolume> {
  try {
    const held = await heldFile(file, volume)
    return {
      path: held.path,
      name: volume,
      takeBack,
      [Symbol.asyncDispose]: async () => {
        await held[Symbol.asyncDispose]()
        await folder.close()
      },
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function make(at: string): Promise<FileHandle | undefined> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  try {
    return await open(at, flags, 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
    throw error
  }
}

/** Removes a file that was made here, unless something else has its name by now. */
async function removeOwn(at: string, file: FileHandle): Promise<void> {
  const [there, own] = await Promise.all([
    lstat(at, { bigint: true }).catch(() => undefined),
    file.stat({ bigint: true }),
  ])
  if (there?.dev === own.dev && there.ino === own.ino) await unlink(at)
}

function refuse(volume: string, backendName: string, why: string): never {
  throw new InvalidError({ reason: `The volume ${volume} is not of the back end ${backendName}: ${why}` })
}
