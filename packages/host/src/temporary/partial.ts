import { constants } from 'node:fs'
import { link, open, rename, rm, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import type { ProcessRunner } from '@disk-image/core'
import { newTemporaryName } from './create-temporary-files.ts'
import { removeLeftovers } from './leftovers.ts'
import { parseTemporaryName } from './temporary-name.ts'

const suffix = '.partial'
/** Of the final name, so that with everything else 255 bytes suffice. */
const mostNameBytes = 150

/** A file under a temporary name beside the one that it becomes. */
export interface Partial {
  /** The temporary name, for tools. Nothing is there until somebody makes it. */
  readonly path: string
  /** Makes it, mode 0600. */
  create(): Promise<FileHandle>
  /**
   * Gives it its name, and returns when the folder has it on the disk. What has come to be there meanwhile stays.
   *
   * @throws {InvalidError} where something of that name is there
   */
  publish(options: { readonly durable: boolean }): Promise<void>
  /** Removes it. Never throws. */
  discard(): Promise<void>
  /** Ends the use of the folder. */
  close(): Promise<void>
}

/** Whether a name is one that an unfinished file has. */
export function isPartialName(name: string): boolean {
  return name.endsWith(suffix) && parseTemporaryName(name) !== undefined
}

/**
 * Prepares a new file in a folder that exists, and removes what killed processes left of the same.
 *
 * The folder is opened once: who renames it, or puts a link in its place, changes nothing.
 *
 * @param file absolute; nothing is there yet
 * @param runner names and removes with its root helper what this user may not: `ln`, `rm` and `sync`
 */
export async function preparePartial(file: string, runner?: ProcessRunner): Promise<Partial> {
  const folder = path.dirname(file)
  const name = path.basename(file)
  const prefix = `.${beginningOf(name)}.`
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY).catch(() => undefined)
  const base = (await usable(handle)) ?? folder
  await removeLeftovers({ directory: base, prefix, suffix }).catch(() => [])
  const temporaryBase = newTemporaryName({ prefix, suffix })
  const temporary = path.join(base, temporaryBase)
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  const partial: Partial = {
    path: path.join(folder, temporaryBase),
    create: () => open(temporary, flags, 0o600),
    async publish({ durable }) {
      try {
        await giveName(temporary, path.join(base, name), file)
        if (durable) await handle?.sync()
      } catch (error) {
        if (runner === undefined || !isForbidden(error)) throw error
        await giveNameAsRoot(runner, partial.path, file, durable)
      }
    },
    async discard() {
      try {
        await rm(temporary, { force: true })
      } catch {
        await runAsRoot(runner, 'rm', ['-f', '--', partial.path]).catch(() => undefined)
      }
    },
    close: async () => handle?.close(),
  }
  return Object.freeze(partial)
}

function beginningOf(name: string): string {
  if (Buffer.byteLength(name) <= mostNameBytes) return name
  return new TextDecoder().decode(Buffer.from(name).subarray(0, mostNameBytes)).replaceAll('\uFFFD', '')
}

/** The open folder's name in /proc; undefined where there is no /proc. */
async function usable(handle: FileHandle | undefined): Promise<string | undefined> {
  if (handle === undefined) return undefined
  const name = `/proc/${process.pid}/fd/${handle.fd}`
  const [same, found] = await Promise.all([handle.stat(), stat(name).catch(() => undefined)])
  return found?.ino === same.ino && found.dev === same.dev ? name : undefined
}

const cannotLink = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES'])

/** A link is made only where nothing is; a renaming would replace what is there. */
async function giveName(from: string, to: string, shown: string): Promise<void> {
  try {
    try {
      await link(from, to)
    } catch (error) {
      if (!cannotLink.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      // No links on this file system: an empty file takes the name, and is what the renaming replaces.
      await (await open(to, 'wx', 0o600)).close()
      await rename(from, to)
      return
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new InvalidError({
      reason: `${shown} was made by somebody else meanwhile, and is left as it is.`,
      cause: error,
    })
  }
  await rm(from, { force: true })
}

function isForbidden(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')
}

async function runAsRoot(
  runner: ProcessRunner | undefined,
  file: string,
  args: readonly string[],
): Promise<void> {
  await runner?.run({ file, args }, { asRoot: true, timeoutMs: 30_000 })
}

async function giveNameAsRoot(
  runner: ProcessRunner,
  from: string,
  to: string,
  durable: boolean,
): Promise<void> {
  try {
    await runAsRoot(runner, 'ln', ['--no-target-directory', '--', from, to])
  } catch (cause) {
    throw new InvalidError({
      reason: `${to} could not be made. Was it made by somebody else meanwhile?`,
      cause,
    })
  }
  await runAsRoot(runner, 'rm', ['-f', '--', from])
  if (durable) await runAsRoot(runner, 'sync', ['--', path.dirname(to)])
}
