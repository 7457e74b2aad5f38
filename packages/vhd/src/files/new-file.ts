import { link, lstat, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { syncFolder } from '@disk-image/io'
import { nameSpace } from '../errors.ts'

/** Whoever writes has written something since. */
const staleMs = 3_600_000

/**
 * Has a new file made under a temporary name beside it, and gives it its own when it is whole and on the disk. What was
 * left of the same file an hour ago is removed.
 *
 * @param make makes the file
 * @throws EEXIST where there is a file of that name, also one that came meanwhile
 */
export async function makeNewFile(
  path: string,
  make: (temporaryPath: string) => Promise<void>,
): Promise<void> {
  if (await isThere(path)) throw existsError(path)
  await removeStale(path)
  const temporary = temporaryPathOf(path)
  try {
    await make(temporary)
    await syncFile(temporary)
    await giveName(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw nameSpace(error, path)
  }
  await syncFolderOf(path)
}

/** What becomes of a file that is there. */
export interface ReplaceOption {
  /** Whether what is made takes its place, in one step and when it is whole. @default false: that is an error */
  readonly replace?: boolean | undefined
}

/** The one or the other. What is no regular file, a device or a link, is never replaced. */
export async function makeFile(
  path: string,
  { replace = false }: ReplaceOption,
  make: (temporaryPath: string) => Promise<void>,
): Promise<void> {
  const isFile = replace && (await lstat(path).catch(() => undefined))?.isFile() === true
  return isFile ? replaceFile(path, make) : makeNewFile(path, make)
}

/** The same for what takes the place of a file that is there, in one step. */
export async function replaceFile(
  path: string,
  make: (temporaryPath: string) => Promise<void>,
): Promise<void> {
  await removeStale(path)
  const temporary = temporaryPathOf(path)
  try {
    await make(temporary)
    await syncFile(temporary)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw nameSpace(error, path)
  }
  await syncFolderOf(path)
}

function prefixOf(path: string): string {
  return `.${basename(path).slice(0, 60)}.`
}

export function temporaryPathOf(path: string): string {
  return join(dirname(path), `${prefixOf(path)}${crypto.randomUUID()}.partial`)
}

async function removeStale(path: string): Promise<void> {
  const prefix = prefixOf(path)
  for (const name of await readdir(dirname(path)).catch(() => [])) {
    const isOurs = name.startsWith(prefix) && /^[\da-f-]{36}\.partial$/.test(name.slice(prefix.length))
    const file = join(dirname(path), name)
    const found = isOurs ? await stat(file).catch(() => undefined) : undefined
    if (found !== undefined && Date.now() - found.mtimeMs > staleMs) await rm(file, { force: true })
  }
}

/** A link replaces nothing, as a renaming would. @throws EEXIST */
export async function giveName(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw existsError(to)
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) throw error
    // No links on this file system: an empty file takes the name, and is what the renaming replaces.
    await (await open(to, 'wx', 0o600)).close()
    await rename(from, to)
    return
  }
  await rm(from, { force: true })
}

export async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}

function existsError(path: string): Error {
  return Object.assign(new Error(`EEXIST: file already exists, '${path}'`), { code: 'EEXIST', path })
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.datasync()
  } finally {
    await file.close()
  }
}

/** Makes the names in a file's folder last, where it can be opened. */
export async function syncFolderOf(path: string): Promise<void> {
  await syncFolder(dirname(path)).catch((error: unknown) => {
    const { code, syscall } = error as NodeJS.ErrnoException
    // Who may only search a folder can't open it.
    if (syscall !== 'open' || code !== 'EACCES') throw nameSpace(error, path)
  })
}
