import type { Stats } from 'node:fs'
import { lstat, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import { refuseAmongDevices } from '../files/block-device.ts'
import { isHeldPath } from '../files/hold-file.ts'
import { isPartialName } from '../temporary/partial.ts'

/** Where a path leads: every link is resolved once, and only the result is opened. */
export interface Place {
  /** Absolute, and without links, but for the path of a file that somebody holds. */
  readonly path: string
  /** What is there; undefined where a file can be made. */
  readonly found: Stats | undefined
}

/**
 * Resolves where a file or device is written. Names may be links, as `/dev/vg/lv` is; a link to what does not
 * exist is refused, and so is a new file in the folder of the devices, wherever that is mounted. `/dev/shm` is a
 * folder for files.
 *
 * @throws {InvalidError} where no file may be made
 */
export async function resolvePlace(name: string): Promise<Place> {
  const absolute = path.resolve(name)
  // Somebody holds the file, or its folder: to look up the name that it has by now would let go of it.
  if (isHeldPath(absolute)) return { path: absolute, found: await stat(absolute) }
  if (isHeldPath(path.dirname(absolute))) return inHeldFolder(absolute)
  const existing = await orMissing(realpath(absolute))
  if (existing !== undefined) {
    const found = await orMissing(lstat(existing))
    if (found !== undefined) return { path: existing, found }
  }
  if ((await orMissing(lstat(absolute))) !== undefined) {
    throw new InvalidError({ reason: `${name} is a link to something that does not exist.` })
  }
  const folder = await orMissing(realpath(path.dirname(absolute)))
  const file = path.join(folder ?? path.dirname(absolute), path.basename(absolute))
  await refuseAmongDevices(file, name)
  if (folder === undefined) {
    throw new InvalidError({ reason: `${name} can't be made: its folder does not exist.` })
  }
  if (isPartialName(path.basename(file))) {
    throw new InvalidError({ reason: `${name} is a name that unfinished files have: choose another.` })
  }
  return { path: file, found: undefined }
}

/** A name in a folder that is held; it is never followed. */
async function inHeldFolder(file: string): Promise<Place> {
  const found = await orMissing(lstat(file))
  if (found?.isSymbolicLink() === true) throw new InvalidError({ reason: `${file} is a link.` })
  if (found === undefined) {
    const folder = await realpath(path.dirname(file))
    await refuseAmongDevices(path.join(folder, path.basename(file)), file)
  }
  return { path: file, found }
}

async function orMissing<Result>(looking: Promise<Result>): Promise<Result | undefined> {
  try {
    return await looking
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
