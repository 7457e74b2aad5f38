import { statfs } from 'node:fs/promises'
import path from 'node:path'

/**
 * Bytes that this user may still write on the file system of a path. The path itself need not exist: then
 * its nearest folder that does counts.
 */
export async function freeSpace(name: string): Promise<number> {
  let folder = path.resolve(name)
  for (;;) {
    try {
      const { bavail, bsize } = await statfs(folder)
      return bavail * bsize
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if ((code !== 'ENOENT' && code !== 'ENOTDIR') || folder === path.dirname(folder)) throw error
      folder = path.dirname(folder)
    }
  }
}
