import path from 'node:path'
import { constants } from 'node:fs'
import { lstat, open, unlink, type FileHandle, readlink, realpath } from 'node:fs/promises'
import { InvalidError } from '@disk-image/core'
import { heldFile, pathOnly } from '@disk-image/host'
import { parseRbdName } from '../jobs/identity.ts'
import type { BackendOptions } from './volume-driver.ts'

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

/** As many as the kernel follows. */
const mostLinks = 40

/** Where a name leads, beneath a folder. Both handles are the caller's to close. */
interface Found {
  /** The folder that the last name is in. */
  readonly folder: FileHandle
  readonly name: string
  /** What is there; undefined where nothing is. */
  readonly file: FileHandle | undefined
}

/** A name leads out of its folder, or nowhere. */
class WalkError extends Error {
  override readonly name: string = 'WalkError'
}

/**
 * Walks from a folder to a name beneath it, from handle to handle: no step looks up more than one name, and none
 * follows a link, so that nothing that is swapped meanwhile leads out. A link is read and walked like any other name.
 * Only in `/dev`, where none but root makes links, may the last one lead to a block device elsewhere.
 *
 * Node.js has no `openat2`; this does what its RESOLVE_BENEATH does.
 *
 * @throws {WalkError}
 */
async function walkBeneath(root: string, relative: string): Promise<Found> {
  const folders = [await open(root, pathOnly | constants.O_DIRECTORY)]
  let links = 0
  try {
    const left = partsOf(relative)
    for (;;) {
      const folder = folders[folders.length - 1] as FileHandle
      const part = left.shift()
      if (part === undefined) throw new WalkError('it is a folder.')
      if (part === '..') {
        if (folders.length === 1) throw new WalkError('a link leads out of it.')
        await folders.pop()?.close()
        continue
      }
      const at = `/proc/self/fd/${folder.fd}/${part}`
      const file = await openName(at)
      if (file === undefined) {
        if (left.length > 0) throw new WalkError(`there is no folder ${part} in it.`)
        return { folder: keepLast(folders), name: part, file }
      }
      const found = await file.stat()
      if (found.isSymbolicLink()) {
        await file.close()
        links += 1
        if (links > mostLinks) throw new WalkError('its links lead in a circle.')
        const device = left.length === 0 ? await deviceBehind(folder, at) : undefined
        if (device !== undefined) return { folder: keepLast(folders), name: part, file: device }
        const target = await readlink(at).catch(() => '/')
        if (path.isAbsolute(target)) {
          if (!isInside(target, root)) throw new WalkError('a link leads out of it.')
          for (const folderBelow of folders.splice(1)) await folderBelow.close()
          left.unshift(...partsOf(path.relative(root, target)))
        } else left.unshift(...partsOf(target))
      } else if (found.isDirectory()) {
        folders.push(file)
      } else if (left.length === 0) {
        return { folder: keepLast(folders), name: part, file }
      } else {
        await file.close()
        throw new WalkError(`${part} is no folder.`)
      }
    }
  } finally {
    await Promise.all(folders.map((folder) => folder.close()))
  }
}

/** Takes the last folder out of those that are closed. */
function keepLast(folders: FileHandle[]): FileHandle {
  return folders.pop() as FileHandle
}

async function openName(at: string): Promise<FileHandle | undefined> {
  try {
    return await open(at, pathOnly | constants.O_NOFOLLOW)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** A block device that a link in `/dev` leads to: volume managers make those. */
async function deviceBehind(folder: FileHandle, at: string): Promise<FileHandle | undefined> {
  if (!(await isInDev(folder))) return undefined
  const device = await open(at, pathOnly).catch(() => undefined)
  if (device === undefined) return undefined
  if ((await device.stat()).isBlockDevice()) return device
  await device.close()
  return undefined
}

/** Whether a folder is one of devices: no file is made there. */
async function isInDev(folder: FileHandle): Promise<boolean> {
  return `${await realpath(`/proc/self/fd/${folder.fd}`)}/`.startsWith('/dev/')
}

/** Whether a path is beneath another by its words. */
function isInside(file: string, folder: string): boolean {
  const relative = path.relative(folder, file)
  return relative !== '' && partsOf(relative)[0] !== '..'
}

function partsOf(name: string): string[] {
  return name.split('/').filter((part) => part !== '' && part !== '.')
}
