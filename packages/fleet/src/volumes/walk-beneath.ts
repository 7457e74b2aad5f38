import path from 'node:path'
import { constants } from 'node:fs'
import { open, readlink, realpath } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { pathOnly } from '@disk-image/host'

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
export class WalkError extends Error {
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
export async function walkBeneath(root: string, relative: string): Promise<Found> {
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
export async function isInDev(folder: FileHandle): Promise<boolean> {
  return `${await realpath(`/proc/self/fd/${folder.fd}`)}/`.startsWith('/dev/')
}

/** Whether a path is beneath another by its words. */
export function isInside(file: string, folder: string): boolean {
  const relative = path.relative(folder, file)
  return relative !== '' && partsOf(relative)[0] !== '..'
}

function partsOf(name: string): string[] {
  return name.split('/').filter((part) => part !== '' && part !== '.')
}
