import { lstat, rm } from 'node:fs/promises'
import path from 'node:path'
import { namesIn } from './create-temporary-files.ts'
import { preparePrivateFolder } from './private-folder.ts'
import { hostTag, isAlive, parseTemporaryName } from './temporary-name.ts'

/** A temporary file or directory whose maker is gone. */
export interface Leftover {
  readonly path: string
  readonly kind: 'file' | 'directory'
  /** Bytes of a file; 0 for a directory. */
  readonly sizeBytes: number
  readonly processId: number
}

/** Options of {@link findLeftovers} and {@link removeLeftovers}. */
export interface LeftoverOptions {
  readonly directory: string
  /** Only names that have this before the owner. @default all */
  readonly prefix?: string | undefined
  /** Only names that end so. @default all */
  readonly suffix?: string | undefined
}

/**
 * Temporary files in a directory whose maker no longer runs on this host. Files of running processes, of
 * other hosts, other users and other programs are left out. A process id that was given out again is told by its
 * start.
 */
export async function findLeftovers(options: LeftoverOptions): Promise<Leftover[]> {
  const { directory, prefix, suffix = '' } = options
  const here = hostTag()
  const found: Leftover[] = []
  for (const name of await namesIn(directory)) {
    const owner = name.endsWith(suffix) ? parseTemporaryName(name, prefix) : undefined
    if (owner === undefined || owner.hostTag !== here) continue
    if (isAlive(owner.processId, owner.startTicks)) continue
    const file = path.join(directory, name)
    const status = await lstat(file).catch(() => undefined)
    if (status === undefined || status.uid !== (process.geteuid?.() ?? 0)) continue
    const kind = status.isDirectory() ? 'directory' : 'file'
    found.push({ path: file, kind, sizeBytes: kind === 'file' ? status.size : 0, processId: owner.processId })
  }
  return found
}

/**
 * Removes what {@link findLeftovers} finds, and says what that was.
 *
 * @throws {InvalidError} where a directory is left in one that others may write to
 */
export async function removeLeftovers(options: LeftoverOptions): Promise<Leftover[]> {
  const found = await findLeftovers(options)
  for (const { path: file, kind } of found) {
    // Where others may write, a folder could be swapped for a link while it is emptied.
    if (kind === 'directory') await preparePrivateFolder(options.directory, 'folder for temporary files')
    await rm(file, { recursive: kind === 'directory', force: true })
  }
  return found
}
