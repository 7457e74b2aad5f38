import path from 'node:path'
import { constants } from 'node:fs'
import { open, realpath } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/**
 * Opens the file behind a `file://` location, if it is a regular file that is really under one of the roots.
 *
 * The location comes from the image service, and whoever may set it must not choose among all files of this machine:
 * so roots and file are compared after every symbolic link is resolved, and the resolved name is opened.
 *
 * @returns undefined where the location is not to be used
 */
export async function openDirectFile(
  url: unknown,
  roots: readonly string[],
): Promise<FileHandle | undefined> {
  if (typeof url !== 'string' || roots.length === 0 || !/^file:\/\//i.test(url)) return undefined
  let handle: FileHandle | undefined
  try {
    const file = await realpath(fileURLToPath(url))
    if (!(await isUnder(file, roots))) return undefined
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const status = await handle.stat()
    // Folders on the way may have been swapped since: it is what is open that has to be there.
    const opened = await realpath(`/proc/self/fd/${handle.fd}`)
    if (status.isFile() && (await isUnder(opened, roots))) return handle
    await handle.close()
  } catch {
    await handle?.close().catch(() => undefined)
  }
  return undefined
}

async function isUnder(file: string, roots: readonly string[]): Promise<boolean> {
  for (const root of roots) {
    const real = await realpath(root).catch(() => undefined)
    if (real !== undefined && file.startsWith(real.endsWith(path.sep) ? real : `${real}${path.sep}`))
      return true
  }
  return false
}
